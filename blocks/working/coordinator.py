"""The task coordinator: a task given to it comes back with the model's text."""

from __future__ import annotations

import time
import uuid
from typing import Any

from blocks.working.ollama import prove_digest
from blocks.working.scene import Broken, NotProven, Proof, Scene, answered, call, place_of
from compose.stack.catalogue import Model, full_name, hex_digest
from compose.stack.observed import Container
from compose.stack.round_trips import CoordinatorTrip

ENDED = ("finished", "failed")
WAIT = 5


def round_trip(trip: CoordinatorTrip, container: Container, scene: Scene) -> list[Proof]:
    """Give it a task, wait for the answer, and prove by digest which model made it; remove the task.

    Raises:
        NotProven: The container has no token.
        Broken: The task failed, never ended, or came back without text.
    """
    base = f"http://{place_of(container, trip.port)}"
    token = scene.secret(container, trip.token_key)
    if not token:
        raise NotProven(f"no token: its container has no {trip.token_key}")
    body = {"id": str(uuid.uuid4()), "prompt": trip.prompt, "max_tokens": trip.tokens}
    given = answered(call("POST", f"{base}{trip.path}", trip.within, body=body, token=token))
    url = base + trip.result_path.format(id=given.get("task_id") or body["id"])
    try:
        task = _ended(url, time.monotonic() + trip.within)
    finally:
        call("DELETE", url, trip.within, token=token)
    return _proofs(trip, task, scene)


def _ended(url: str, until: float) -> dict[str, Any]:
    """Wait at the coordinator (not in a loop of our own) until the task has ended.

    Raises:
        Broken: It has not ended in time.
    """
    task: dict[str, Any] = {}
    while time.monotonic() < until:
        task = answered(call("GET", f"{url}?wait={WAIT}", WAIT + 5.0))
        if task.get("state") in ENDED:
            return task
    raise Broken(f"its task is still {task.get('state')}: {task.get('error') or 'nothing wrong is said'}")


def _proofs(trip: CoordinatorTrip, task: dict[str, Any], scene: Scene) -> list[Proof]:
    if task.get("state") != "finished":
        raise Broken(f"its task failed: {str(task.get('error'))[:160]}")
    text, tokens = str(task.get("result") or ""), int(task.get("tokens") or 0)
    name = full_name(str(task.get("model") or ""))
    if not text.strip() or tokens < 1:
        raise Broken(f"its task came back empty ({tokens} tokens)")
    model = scene.catalogue.named(name) or Model(name or "an unnamed model")
    kind = "demonstration model " if model.demonstration else ""
    said = f"a task came back with {tokens} tokens of {kind}{model.name}"
    return [Proof(str(trip), said), prove_digest(model, hex_digest(task.get("digest")) or "")]

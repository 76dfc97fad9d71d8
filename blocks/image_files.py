"""Looking into an image's files without running anything of its author: a container that is never started."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker.errors

from blocks.container_files import Files
from blocks.engine import Engine, talking
from blocks.look_cache import recall, remember
from compose.stack.preflight.images import Contents, Image, Question, parse_image

log = logging.getLogger("ops.preflight")
LABEL = "sutazai.ops.look"
"""On every container that is made to look into an image; `sweep` removes what a killed run left."""

AT_ONCE = 4
LONG_AGO = 3600.0


def images(engine: Engine, references: set[str]) -> dict[str, Image | None]:
    """What each image tells of itself, None for one that is not here."""

    def ask(reference: str) -> Image | None:
        found = engine.image(reference)
        return parse_image(reference, found) if found else None

    with ThreadPoolExecutor(8) as pool:
        names = sorted(references)
        return dict(zip(names, pool.map(ask, names), strict=True))


def look(engine: Engine, questions: Mapping[Image, Question], cache: Path | None = None) -> dict[str, Contents]:
    """Answer the questions about each image's files.

    Args:
        engine: The engine.
        questions: What is asked, by image.
        cache: Directory of earlier answers; nothing is kept without one.

    Returns:
        The answers by the image's reference.
    """
    found: dict[str, Contents] = {}
    for image, question in questions.items():
        known = recall(cache, image.id, question) if cache and question else None
        if known is not None:
            found[image.reference] = known
    todo = {image: question for image, question in questions.items() if question and image.reference not in found}
    if not todo:
        return found
    sweep(engine)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda item: _look(engine, item[0].reference, item[1]), todo.items())
        for image, answer in zip(todo, answers, strict=True):
            found[image.reference] = answer
            if cache:
                remember(cache, image.id, answer)
    return found


def _look(engine: Engine, reference: str, question: Question) -> Contents:
    with talking(), _never_started(engine, reference) as container:
        files = Files(engine.client.api, container)
        return Contents(
            {(name, search): files.find(name, search) for name, search in question.programs},
            {place: files.entry(place) for place in question.places},
            files.text("/etc/passwd") or "" if question.accounts else None,
            files.text("/etc/group") or "" if question.accounts else None,
        )


@contextmanager
def _never_started(engine: Engine, reference: str) -> Iterator[str]:
    api = engine.client.api
    made = api.create_container(
        reference,
        command=["nothing"],
        entrypoint=["nothing"],
        labels={LABEL: _mark(os.getpid())},
        network_disabled=True,
    )
    try:
        yield made["Id"]
    finally:
        _quietly_remove(api, made["Id"])


def sweep(engine: Engine) -> None:
    """Remove what a killed run left behind: its process is gone, or it worked elsewhere and that is long ago."""
    api = engine.client.api
    with talking():
        for body in api.containers(all=True, filters={"label": LABEL, "status": "created"}):
            if _left_behind(str(body["Labels"][LABEL]), int(body["Created"])):
                log.info("removing container %s, left by a run that was killed", body["Id"][:12])
                _quietly_remove(api, body["Id"])


def _left_behind(owner: str, created: int) -> bool:
    host, _, process = owner.partition("/")
    if host == socket.gethostname():
        pid = process.partition(":")[0]
        return not pid.isdigit() or _mark(int(pid)) != owner
    return time.time() - created > LONG_AGO


def _mark(pid: int) -> str:
    """Which process on which machine: its number and the moment of its start (proc(5), field 22 of stat)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return f"{socket.gethostname()}/{pid}:{fields[19]}"


def _quietly_remove(api: Any, container: str) -> None:
    """Remove a container; another run may be quicker."""
    with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
        api.remove_container(container, v=True, force=True)

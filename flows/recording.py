"""Running steps as Prefect task runs, so that the UI shows the graph; never what the work stands on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from prefect import Task, allow_failure
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.futures import PrefectFuture
from prefect.states import Failed as FailedState

from compose.stack.errors import OpsError, UpstreamFailed
from flows.presence import presence
from flows.walker import Node, Outcome

log = logging.getLogger("ops.walk")
Result = TypeVar("Result")


class PrefectRunner:
    """Submits every node as a task run of the current flow run."""

    recorded = True

    def __init__(self) -> None:
        ours = logging.getLogger("ops")  # Prefect sends its records to the UI, but leaves it at the root's level
        if ours.getEffectiveLevel() > logging.INFO:
            ours.setLevel(logging.INFO)

    def run(self, nodes: Sequence[Node], execute: Callable[[Node], Outcome]) -> None:
        """Submit every node; a failed one ends as a Failed task run and does not stop the others."""
        futures: dict[str, PrefectFuture[Any]] = {}
        if presence().lost:
            return
        try:
            for node in nodes:
                needs = [allow_failure(futures[key]) for key in node.waits_for if key in futures]
                futures[node.key] = _recorded(node, execute).submit(wait_for=needs, return_state=False)
            for future in futures.values():
                _wait(future)
        except Exception as error:  # noqa: BLE001 - whatever ails Prefect must not stop the work; the walk goes on
            log.warning("Prefect does not record any more: %s: %s", type(error).__name__, error)

    def step(self, title: str, work: Callable[[], Result], *, tags: Sequence[str] = ()) -> Result:
        """Run one step as a task run; run it plainly when Prefect itself fails."""
        if presence().lost:
            return work()
        box: list[Result] = []
        raised: list[OpsError] = []

        def step() -> Any:
            try:
                box.append(work())
            except OpsError as error:
                raised.append(error)
                return _failed(error)
            return "done"

        try:
            _task(step, title, title, tags)(return_state=True)
        except Exception as error:  # noqa: BLE001 - Prefect's own trouble: the work is done, or is done now
            log.warning("%s is not recorded: %s: %s", title, type(error).__name__, error)
        if raised:
            raise raised[0]
        return box[0] if box else work()


def _wait(future: PrefectFuture[Any]) -> None:
    """Wait for a task run, or until the server is gone: then the walk runs what is left by itself."""
    ended, server = threading.Event(), presence()
    future.add_done_callback(lambda _: ended.set())
    while not ended.wait(0.5) and not server.lost:
        continue


def _recorded(node: Node, execute: Callable[[Node], Outcome]) -> Task[[], Any]:
    def step() -> Any:
        outcome = execute(node)
        return _failed(outcome.error) if outcome.error is not None else str(outcome.value or "done")

    return _task(step, node.key.partition(":")[0], node.title or node.key, node.tags)


def _failed(error: OpsError) -> State[None]:
    """The state of a step that failed as steps do: what, where and what next, without a traceback."""
    name = "UpstreamFailed" if isinstance(error, UpstreamFailed) else "Failed"
    return FailedState(name=name, message=str(error))


def _task(step: Callable[[], Result], name: str, title: str, tags: Sequence[str]) -> Task[[], Result]:
    def tagged() -> Result:
        # a run that begins with tags first asks the server for a slot of each, and waits for the answer
        running = TaskRunContext.get()
        if running:
            running.task_run.tags = list(tags)
        return step()

    # nothing is cached or persisted: a second probe in one run must not be given the first one's answer
    options: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}
    shown = title.replace("{", "(").replace("}", ")")
    return Task(fn=tagged if tags else step, name=name, task_run_name=shown, **options)

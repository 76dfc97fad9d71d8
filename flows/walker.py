"""Walks a graph of steps: each as soon as what it waits for is done, the rest going on when one fails.

The walk is plain code. A runner decides how steps are executed: by threads, or as Prefect task runs, so that
the Prefect UI draws the graph. The board is the truth: what Prefect could not run is run by threads after all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from compose.stack.errors import Failed, OpsError, UpstreamFailed

log = logging.getLogger("ops.walk")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Node:
    """One step of the walk.

    Args:
        key: Its name, unique in the walk.
        service: The service that it is about.
        work: What to do.
        after: Keys of the steps that must have succeeded before.
        optional: Keys of the steps that must have ended before, however they ended.
        title: How people see it.
        tags: For the Prefect UI.
        retries: How often Prefect may try again; 0 where that is not safe.
    """

    key: str
    service: str
    work: Callable[[], Any]
    after: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    title: str = ""
    tags: tuple[str, ...] = ()
    retries: int = 0

    @property
    def waits_for(self) -> tuple[str, ...]:
        """Everything that has to end before it."""
        return (*self.after, *self.optional)


@dataclass(frozen=True)
class Outcome:
    """How one step ended; times in seconds since the walk began.

    Args:
        error: None when it succeeded.
    """

    key: str
    service: str
    value: Any = None
    error: OpsError | None = None
    began: float = 0.0
    ended: float = 0.0

    @property
    def ok(self) -> bool:
        """True when it did what it should."""
        return self.error is None


class Runner(Protocol):
    """Executes single steps and the nodes of a walk."""

    recorded: bool

    def step(self, title: str, work: Callable[[], Result], *, tags: Sequence[str] = ()) -> Result:
        """Execute one step now; its result, or its error."""

    def run(self, nodes: Sequence[Node], execute: Callable[[Node], Outcome]) -> None:
        """Execute every node after those that it waits for; failures are in the outcomes, not raised."""


@dataclass
class Board:
    """What has happened so far; every node is executed once, whoever asks."""

    nodes: Mapping[str, Node]
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    _running: dict[str, Future[Outcome]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def execute(self, node: Node) -> Outcome:
        """Run a node, or wait for the one who does; its outcome."""
        with self._lock:
            future = self._running.get(node.key)
            mine = future is None
            if future is None:
                future = self._running[node.key] = Future()
        if mine:
            try:
                outcome = self._attempt(node)
            except BaseException as error:  # whoever waits for this step must not wait for ever
                future.set_exception(error)
                raise
            self.outcomes[node.key] = outcome
            future.set_result(outcome)
        return future.result()

    def _attempt(self, node: Node) -> Outcome:
        began = time.monotonic() - self.began
        blocked = self._blocked(node)
        if blocked:
            return Outcome(node.key, node.service, None, blocked, began, began)
        value, error = None, None
        try:
            value = node.work()
        except OpsError as raised:
            error = raised
        except Exception as raised:
            log.exception("%s", node.key)
            error = Failed(f"{type(raised).__name__}: {raised}", where=node.service)
        return Outcome(node.key, node.service, value, error, began, time.monotonic() - self.began)

    def _blocked(self, node: Node) -> UpstreamFailed | None:
        for key in node.after:
            outcome = self.outcomes.get(key)
            if outcome is None or outcome.error is None:
                continue
            if isinstance(outcome.error, UpstreamFailed):
                return UpstreamFailed(node.service, outcome.error.cause)
            if outcome.service != node.service:
                return UpstreamFailed(node.service, outcome.service)
            return UpstreamFailed(node.service, node.service)
        return None


def walk(nodes: Sequence[Node], runner: Runner) -> dict[str, Outcome]:
    """Run every node in the order of the graph.

    Args:
        nodes: In an order in which each stands after those that it waits for.
        runner: Executes them.
    """
    board = Board({node.key: node for node in nodes})
    runner.run(nodes, board.execute)
    left = [node for node in nodes if node.key not in board.outcomes]
    if left:
        log.warning("%d steps were not run by %s; running them unrecorded", len(left), type(runner).__name__)
        ThreadRunner().run(left, board.execute)
    return board.outcomes


class ThreadRunner:
    """Runs nodes on threads of this process; needs nothing but Python."""

    recorded = False

    def step(self, title: str, work: Callable[[], Result], *, tags: Sequence[str] = ()) -> Result:
        """Execute one step now."""
        return work()

    def run(self, nodes: Sequence[Node], execute: Callable[[Node], Outcome]) -> None:
        """Execute every node, each on a thread that waits for its predecessors."""
        futures: dict[str, Future[Outcome]] = {}
        with ThreadPoolExecutor(max_workers=max(len(nodes), 1), thread_name_prefix="step") as pool:
            for node in nodes:
                needs = [futures[key] for key in node.waits_for if key in futures]
                futures[node.key] = pool.submit(_after, needs, node, execute)
            for future in futures.values():
                future.result()


def _after(needs: Sequence[Future[Outcome]], node: Node, execute: Callable[[Node], Outcome]) -> Outcome:
    for future in needs:
        future.result()
    return execute(node)

"""What every runner of a walk does, plain threads and Prefect task runs alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from compose.stack.errors import Failed, UpstreamFailed
from flows.walker import Node, Outcome, Runner, ThreadRunner, walk
from tests.prefect_lab import PrefectLab, graph_edges

Walk = Callable[[list[Node]], dict[str, Outcome]]


def node(key: str, work: Callable[[], object] = lambda: None, after: str = "", optional: str = "") -> Node:
    return Node(key, key, work, tuple(after.split()), tuple(optional.split()), title=key)


def fails() -> None:
    raise Failed("broken", where="a")


class Walks:
    """Runs walks with one kind of runner."""

    def __init__(self, runner: Runner, inside: Callable[[Callable[[], object]], str]) -> None:
        self.runner, self.inside, self.run = runner, inside, ""

    def walk(self, *nodes: Node) -> dict[str, Outcome]:
        """The outcomes of a walk."""
        found: dict[str, Outcome] = {}
        self.run = self.inside(lambda: found.update(walk(nodes, self.runner)))
        return found


def _plain(work: Callable[[], object]) -> str:
    work()
    return ""


@contextmanager
def _prefect(lab: PrefectLab) -> Iterator[Walks]:
    from prefect import flow
    from prefect.events.worker import EventsWorker
    from prefect.runtime import flow_run
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    from flows.recording import PrefectRunner

    def inside(work: Callable[[], object]) -> str:
        ids: list[str] = []

        @flow(name="contract")
        def contract() -> None:
            ids.append(str(flow_run.id))
            work()

        contract()
        return ids[0]

    given = lab.environment
    updates = {
        PREFECT_API_URL: given["PREFECT_API_URL"],
        PREFECT_API_AUTH_STRING: given["PREFECT_API_AUTH_STRING"],
    }
    with temporary_settings(updates=updates):
        yield Walks(PrefectRunner(), inside)
        # one worker of a process sends all events, to the server it met first: the next test's is another one
        EventsWorker.drain_all(timeout=10)


@pytest.fixture(params=["threads", pytest.param("prefect", marks=pytest.mark.engine)])
def walks(request: pytest.FixtureRequest) -> Iterator[Walks]:
    if request.param == "threads":
        yield Walks(ThreadRunner(), _plain)
        return
    with _prefect(request.getfixturevalue("prefect_lab")) as found:
        yield found


def test_runs_each_after_those_that_it_waits_for(walks: Walks) -> None:
    """The graph decides the order; what is independent runs at the same time."""
    meet = threading.Barrier(2, timeout=30)
    seen: list[str] = []
    outcomes = walks.walk(
        node("a", meet.wait), node("b", meet.wait), node("c", lambda: seen.append("c"), "a b"),
        node("d", lambda: seen.append("d"), "c"),
    )  # fmt: skip
    assert seen == ["c", "d"]
    assert all(outcome.ok for outcome in outcomes.values())


def test_a_failure_ends_its_dependents_and_nothing_else(walks: Walks) -> None:
    """Dependents name the first cause, the independent and those that only wait for the end go on."""
    outcomes = walks.walk(
        node("a", fails), node("b", after="a"), node("c", after="b"), node("d"), node("e", optional="a")
    )
    assert isinstance(outcomes["c"].error, UpstreamFailed)
    assert outcomes["c"].error.cause == "a"
    assert outcomes["d"].ok
    assert outcomes["e"].ok


def test_every_step_runs_once(walks: Walks) -> None:
    """Thirty steps, thirty runs."""
    seen: list[int] = []
    walks.walk(*(node(f"n{i}", lambda i=i: seen.append(i)) for i in range(30)))  # type: ignore[misc]
    assert sorted(seen) == list(range(30))


def test_single_steps_give_their_result_or_their_error(walks: Walks) -> None:
    """`step` is a call: what it returns is returned, what it raises is raised."""
    found: list[object] = []
    walks.inside(lambda: found.append(walks.runner.step("one", lambda: 42)))
    assert found == [42]
    with pytest.raises(Failed, match="broken"):
        walks.inside(lambda: walks.runner.step("two", fails))


@pytest.mark.engine
def test_prefect_shows_the_graph_and_its_failures(prefect_lab: PrefectLab) -> None:
    """The edges are those of the walk, and a dependent of a failure ends as UpstreamFailed."""
    with _prefect(prefect_lab) as found:
        found.walk(node("a", fails), node("b", after="a"), node("c"), node("d", after="c"))

    def states() -> dict[str, str]:
        return {run["name"]: run["state_name"] for run in prefect_lab.task_runs(found.run)}

    from tests.prefect_lab import until

    wanted = {"a": "Failed", "b": "UpstreamFailed", "c": "Completed", "d": "Completed"}
    until(lambda: states() == wanted, 60, f"the states are {states()}")
    until(lambda: graph_edges(prefect_lab.api, found.run) == {("a", "b"), ("c", "d")}, 60, "the edges differ")

"""The graph walker and the lock."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import pytest

from blocks.lock import lock_holder, lock_path, stack_lock
from compose.stack.errors import Failed, Locked, UpstreamFailed
from flows.walker import Node, Outcome, ThreadRunner, walk


def node(key: str, work: Callable[[], object] = lambda: None, after: str = "", optional: str = "") -> Node:
    return Node(key, key, work, tuple(after.split()), tuple(optional.split()))


def fails() -> None:
    raise Failed("broken", where="a")


def test_each_step_runs_after_those_that_it_waits_for() -> None:
    """Order follows the graph, and independent steps run at the same time."""
    meet = threading.Barrier(2, timeout=5)
    seen: list[str] = []
    nodes = [
        node("a", lambda: meet.wait()), node("b", lambda: meet.wait()), node("c", lambda: seen.append("c"), "a b"),
        node("d", lambda: seen.append("d"), "c"),
    ]  # fmt: skip
    outcomes = walk(nodes, ThreadRunner())
    assert seen == ["c", "d"]
    assert all(outcome.ok for outcome in outcomes.values())


def test_dependents_of_a_failure_name_its_cause_and_the_rest_goes_on() -> None:
    """The whole chain below names the first cause; what only waits for the end, and the independent, run."""
    nodes = [node("a", fails), node("b", after="a"), node("c", after="b"), node("d"), node("e", optional="a")]
    outcomes = walk(nodes, ThreadRunner())
    assert isinstance(outcomes["c"].error, UpstreamFailed)
    assert outcomes["c"].error.cause == "a"
    assert outcomes["d"].ok
    assert outcomes["e"].ok


def test_an_unexpected_error_is_a_failure_of_that_step_only() -> None:
    """A bug in one step does not end the walk."""
    outcomes = walk([node("a", lambda: 1 / 0), node("b")], ThreadRunner())
    assert "ZeroDivisionError" in str(outcomes["a"].error)
    assert outcomes["b"].ok


class Forgetful:
    """A runner that dies after the first step."""

    recorded = True

    def step(self, title: str, work: Callable[[], Outcome], *, tags: Sequence[str] = ()) -> Outcome:
        """Not used here."""
        return work()

    def run(self, nodes: Sequence[Node], execute: Callable[[Node], Outcome]) -> None:
        """Run one and give up."""
        execute(nodes[0])


def test_what_a_runner_leaves_is_run_by_threads_once() -> None:
    """Nothing is lost, and nothing is done twice."""
    seen: list[str] = []
    nodes = [node(key, lambda key=key: seen.append(key)) for key in "abc"]
    outcomes = walk(nodes, Forgetful())  # type: ignore[arg-type]
    assert sorted(seen) == ["a", "b", "c"]
    assert len(outcomes) == 3


def test_a_taken_lock_names_its_holder() -> None:
    """Two of them at once: the second is refused by name, and free again afterwards."""
    with stack_lock("e-test", f"p-{os.getpid()}", "deploy"):
        with (
            pytest.raises(Locked, match=f"deploy \\(pid {os.getpid()}"),
            stack_lock("e-test", f"p-{os.getpid()}", "other"),
        ):
            pass
        assert lock_holder("e-test", f"p-{os.getpid()}") is not None
    assert lock_holder("e-test", f"p-{os.getpid()}") is None
    lock_path("e-test", f"p-{os.getpid()}").unlink()


def test_a_child_that_lives_on_holds_the_lock() -> None:
    """A command that a dead run began still works: the lock is not free, and says so."""
    project = f"child-{os.getpid()}"
    code = (
        "import subprocess,sys\nfrom blocks.lock import stack_lock\n"
        f"with stack_lock('e-test', {project!r}, 'deploy') as handle:\n"
        "    child = subprocess.Popen(['sleep', '60'], pass_fds=(handle,))\n"
        "    print(child.pid, flush=True)\n    sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        parent.kill()
        parent.wait()
        assert "still at work" in str(lock_holder("e-test", project))
    finally:
        os.kill(child, 9)
        parent.communicate()
    while lock_holder("e-test", project):  # the kernel frees it with the child's last descriptor
        continue
    lock_path("e-test", project).unlink()

"""How a deployment ends that does not succeed: what failed first is told, whatever fails after it."""

from __future__ import annotations

from typing import Any

import pytest

import flows.deploy_stack as flow
from compose.stack.errors import Exit, Failed, OpsError, Refused
from compose.stack.release import Release
from compose.stack.report import DeployReport
from flows.deploy_stack import Phases, integrated, undo
from flows.walker import ThreadRunner


class Work:
    """A run that says and writes nothing."""

    def say(self, *words: str) -> None:
        """Nothing."""

    def journal(self, *words: str, **facts: Any) -> None:
        """Nothing."""


PREVIOUS = Release(number=4, kind="deploy", created="x", project="p")


def report(code: Exit = Exit.FAILED) -> DeployReport:
    errors = ["db: exit code 1"] if code else []
    return DeployReport(
        stack="p", project="p", mode="apply", headline="1 of 2 services failed: db", exit_code=code, errors=errors
    )


@pytest.mark.parametrize("error", [Refused("images are gone", next="another"), Failed("Compose ended with 1")])
def test_a_rollback_that_cannot_begin_is_told_with_what_failed(
    error: OpsError, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Services are down: that is a failure, never `refused`, and both reasons are there."""

    def refuse(*_: Any) -> DeployReport:
        raise error

    monkeypatch.setattr(flow, "bring_back", refuse)
    work: Any = Work()
    ended = undo(work, report(), PREVIOUS, ThreadRunner())
    assert ended.exit_code == Exit.FAILED
    assert ended.headline.startswith("1 of 2 services failed: db; release 4 could not be brought back: ")
    assert ended.errors == ["db: exit code 1", str(error)]


def test_an_integration_that_fails_is_a_failed_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported, so that `--rollback-on-failure` covers it too; it is no exception that loses the report."""

    def refuse(*_: Any) -> str:
        raise Failed("the database refuses the role", where="postgres")

    monkeypatch.setattr(flow, "integrate", refuse)
    work: Any = Work()
    ended = integrated(work, frozenset(), report(Exit.DONE), Phases(work, ThreadRunner()))
    assert (ended.exit_code, ended.failed) == (Exit.FAILED, True)
    assert ended.errors == ["postgres: the database refuses the role"]
    monkeypatch.setattr(flow, "integrate", lambda *_: "nothing to do")
    assert not integrated(work, frozenset(), report(Exit.DONE), Phases(work, ThreadRunner())).failed


def test_a_failed_integration_is_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the flow itself: the previous release comes back, and nothing is recorded."""
    undone: list[DeployReport] = []

    def refuse(*_: Any) -> str:
        raise Failed("the database refuses the role", where="postgres")

    def back(_: Any, ended: DeployReport, *__: Any) -> DeployReport:
        undone.append(ended)
        return ended

    monkeypatch.setattr(flow, "integrate", refuse)
    monkeypatch.setattr(flow, "undo", back)
    monkeypatch.setattr(flow, "settle", lambda *_: pytest.fail("it is recorded"))
    work: Any = Work()
    work.rolls_back = True
    ended = flow.finish(work, report(Exit.DONE), PREVIOUS, frozenset(), Phases(work, ThreadRunner()), ())
    assert undone == [ended]
    assert ended.exit_code == Exit.FAILED

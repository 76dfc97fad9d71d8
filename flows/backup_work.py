"""What the flows over backups that are there have in common: run, publish, end in a state that tells the truth."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar

from prefect import Flow
from prefect.client.schemas.objects import State

from blocks.home import Home
from compose.stack.backup.outcome import WorkReport, work_markdown
from compose.stack.backup.request import BackupsRef
from flows.outcome import Attempt, ended
from flows.publish import artifact_key, publish_markdown
from flows.recording import PrefectRunner
from flows.walker import Runner, ThreadRunner

log = logging.getLogger("ops.backup")
Work = Callable[[Home, Runner], WorkReport]
attempt: ContextVar[Attempt[WorkReport] | None] = ContextVar("work_attempt", default=None)


def run(work: Work) -> State[None]:
    """Do the work of a flow run; the state it ends in."""
    return ended(attempt.get() or Attempt(lambda _: work(Home.find(), PrefectRunner())), publish)


def publish(report: WorkReport) -> None:
    """Leave the report in the UI."""
    publish_markdown(artifact_key(report.what, report.stack), work_markdown(report), report.headline)


def recorded(flow: Flow[..., State[None]], request: BackupsRef, home: Home, work: Work) -> WorkReport:
    """Do the work as a flow run of this process; a server that dies meanwhile costs the record alone."""

    def mine(is_recorded: bool) -> WorkReport:
        return work(home, PrefectRunner() if is_recorded else ThreadRunner())

    this = Attempt(mine)
    token = attempt.set(this)
    try:
        return this.through(lambda: flow(**request.model_dump(), return_state=True))
    finally:
        attempt.reset(token)

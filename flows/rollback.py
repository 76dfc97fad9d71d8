"""The rollback flow: a recorded release comes back, all or nothing."""

from __future__ import annotations

from contextvars import ContextVar

from prefect import flow
from prefect.client.schemas.objects import State

from blocks.docker_host import engine_from_block
from blocks.home import Home
from compose.stack.report import DeployReport
from compose.stack.request import StackRef
from flows.deploy import publish
from flows.naming import named
from flows.outcome import Attempt, ended
from flows.recording import PrefectRunner
from flows.rollback_stack import rollback_stack
from flows.walker import ThreadRunner

attempt: ContextVar[Attempt[DeployReport] | None] = ContextVar("attempt", default=None)


@flow(name="rollback", flow_run_name=named("rollback"))
def rollback(
    stack: str = "light",
    release: int | None = None,
    files: list[str] | None = None,
    env_files: list[str] | None = None,
    project_name: str = "",
    profiles: list[str] | None = None,
) -> State[None]:
    """Bring an earlier release back: its images by id, its own files, today's secrets.

    Args:
        stack: Which stack; `light`, or a name kept with `./ops stack add`. Not used when files are given.
        release: Number of the release; the one before the newest when empty.
        files: Compose files of a project that is not kept by name.
        env_files: Files for interpolation.
        project_name: Name of the compose project, where it shall differ from the file's.
        profiles: Profiles to activate.
    """
    ref = StackRef(
        stack=stack,
        files=files or [],
        env_files=env_files or [],
        project_name=project_name,
        profiles=profiles or [],
    )
    current = attempt.get() or Attempt(
        lambda _: rollback_stack(ref, release, runner=PrefectRunner(), engine=engine_from_block())
    )
    return ended(current, publish)


def rollback_recorded(ref: StackRef, release: int | None, home: Home) -> DeployReport:
    """Roll back as a flow run of this process; a server that dies meanwhile costs the record only."""

    def work(recorded: bool) -> DeployReport:
        if not recorded:
            return rollback_stack(ref, release, home=home, runner=ThreadRunner())
        return rollback_stack(ref, release, home=home, runner=PrefectRunner(), engine=engine_from_block())

    mine = Attempt(work)
    token = attempt.set(mine)
    try:
        return mine.through(lambda: rollback(**ref.model_dump(), release=release, return_state=True))
    finally:
        attempt.reset(token)

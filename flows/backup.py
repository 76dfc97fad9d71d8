"""The backup flow: what schedules, the UI, CI and the command line run to save a stack."""

from __future__ import annotations

from contextvars import ContextVar

from prefect import flow
from prefect.client.schemas.objects import State

from blocks.docker_host import engine_from_block
from blocks.home import Home
from compose.stack.backup.report import BackupReport, backup_markdown, backup_plan_markdown
from compose.stack.backup.request import BackupRequest, SaveCheck
from compose.stack.request import Mode
from flows.backup_stack import backup_stack
from flows.naming import named
from flows.outcome import Attempt, ended
from flows.publish import ProgressBar, artifact_key, publish_markdown
from flows.recording import PrefectRunner
from flows.walker import ThreadRunner

attempt: ContextVar[Attempt[BackupReport] | None] = ContextVar("backup_attempt", default=None)


@flow(name="backup", flow_run_name=named("back up", "mode"), validate_parameters=True)
def backup(
    stack: str = "light",
    mode: Mode = "apply",
    to: list[str] | None = None,
    only: list[str] | None = None,
    verify: SaveCheck = "none",
    consistency: bool = False,
    writers_stop: float = 120.0,
    reread: bool = False,
    adopt: bool = False,
    files: list[str] | None = None,
    env_files: list[str] | None = None,
    project_name: str = "",
    profiles: list[str] | None = None,
) -> State[None]:
    """Save every store, volume and file of a stack, so that it can be brought back.

    Args:
        stack: Which stack; `light`, or a name kept with `./ops stack add`. Not used when files are given.
        mode: `plan` shows what would be saved, how large, and who stands still, and saves nothing.
        to: Targets, as `NAME=PLACE` or `PLACE` (a directory, or s3://bucket/prefix); those of OPS_BACKUP_TARGETS
            when empty.
        only: Components to save; all when empty. Such a backup does not count as a complete one.
        verify: `content` has each store's own tool read everything on its way.
        consistency: One moment for all stores: who writes to them stands still for it.
        writers_stop: Seconds that the writers may stand still; when more is expected the backup is refused.
        reread: Read every file that goes into the pool again, though it looks unchanged.
        adopt: Take over a target: another installation's that is gone, or ours that is empty.
        files: Compose files of a project that is not kept by name.
        env_files: Files for interpolation.
        project_name: Name of the compose project, where it shall differ from the file's.
        profiles: Profiles to activate.
    """
    request = BackupRequest(
        stack=stack, mode=mode, to=to or [], only=only or [], verify=verify, consistency=consistency,
        writers_stop=writers_stop, reread=reread, adopt=adopt, files=files or [], env_files=env_files or [],
        project_name=project_name, profiles=profiles or [],
    )  # fmt: skip
    current = attempt.get() or Attempt(
        lambda _: backup_stack(
            request, runner=PrefectRunner(), engine=engine_from_block(), show=ProgressBar("backup")
        )
    )
    return ended(current, publish)


def publish(report: BackupReport) -> None:
    """Leave the plan, or the report, in the UI."""
    if report.mode == "plan":
        publish_markdown(artifact_key("backup-plan", report.stack), backup_plan_markdown(report), report.headline)
    else:
        publish_markdown(artifact_key("backup", report.stack), backup_markdown(report), report.headline)


def backup_recorded(request: BackupRequest, home: Home) -> BackupReport:
    """Back up as a flow run of this process; a server that dies meanwhile costs the record, not the backup."""

    def work(recorded: bool) -> BackupReport:
        if not recorded:
            return backup_stack(request, home=home, runner=ThreadRunner())
        show = ProgressBar("backup")
        return backup_stack(request, home=home, runner=PrefectRunner(), engine=engine_from_block(), show=show)

    mine = Attempt(work)
    token = attempt.set(mine)
    try:
        return mine.through(lambda: backup(**request.model_dump(), return_state=True))
    finally:
        attempt.reset(token)

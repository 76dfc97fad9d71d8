"""The flow that looks whether the last good backup is young enough."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from compose.stack.backup.request import BackupsRef
from flows.backup_work import run
from flows.naming import named
from tasks.backup import fresh


@flow(name="check-backups", flow_run_name=named("check backups of"), validate_parameters=True)
def check_backups(
    stack: str = "light",
    to: list[str] | None = None,
    files: list[str] | None = None,
    env_files: list[str] | None = None,
    project_name: str = "",
    profiles: list[str] | None = None,
) -> State[None]:
    """Fail, and alert once for each reason: a target's last complete backup is too old, or a store has shrunk.

    Args:
        stack: Which stack; `light`, or a name kept with `./ops stack add`. Not used when files are given.
        to: Targets, as `NAME=PLACE` or `PLACE`; those of OPS_BACKUP_TARGETS when empty.
        files: Compose files of a project that is not kept by name.
        env_files: Files for interpolation.
        project_name: Name of the compose project, where it shall differ from the file's.
        profiles: Profiles to activate.
    """
    request = BackupsRef(
        stack=stack,
        to=to or [],
        files=files or [],
        env_files=env_files or [],
        project_name=project_name,
        profiles=profiles or [],
    )
    return run(lambda home, runner: fresh.check_backups(request, home, runner))

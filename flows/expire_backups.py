"""The flow that lets backups go, as the retention policy says."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from compose.stack.backup.request import ExpireRequest
from flows.backup_work import run
from flows.naming import named
from tasks.backup import keeping


@flow(name="expire-backups", flow_run_name=named("expire backups of"), validate_parameters=True)
def expire_backups(
    stack: str = "light",
    apply: bool = False,
    accept_drop: str = "",
    to: list[str] | None = None,
    files: list[str] | None = None,
    env_files: list[str] | None = None,
    project_name: str = "",
    profiles: list[str] | None = None,
) -> State[None]:
    """Show what the retention policy keeps and lets go, and why; remove only when told to.

    Args:
        stack: Which stack; `light`, or a name kept with `./ops stack add`. Not used when files are given.
        apply: Really remove. Without it only the reasons are shown.
        accept_drop: Why the last backup may be so much smaller than the ones before: ends the hold of expiry.
        to: Targets, as `NAME=PLACE` or `PLACE`; those of OPS_BACKUP_TARGETS when empty.
        files: Compose files of a project that is not kept by name.
        env_files: Files for interpolation.
        project_name: Name of the compose project, where it shall differ from the file's.
        profiles: Profiles to activate.
    """
    request = ExpireRequest(
        stack=stack,
        apply=apply,
        accept_drop=accept_drop,
        to=to or [],
        files=files or [],
        env_files=env_files or [],
        project_name=project_name,
        profiles=profiles or [],
    )
    return run(lambda home, runner: keeping.expire_backups(request, home, runner))

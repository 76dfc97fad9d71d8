"""The flow that keeps one backup whatever the policy says."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from compose.stack.backup.request import PinRequest
from flows.backup_work import run
from flows.naming import named
from tasks.backup import keeping


@flow(name="pin-backup", flow_run_name=named("pin backup of"), validate_parameters=True)
def pin_backup(
    stack: str = "light",
    id: str = "last",
    reason: str = "by hand",
    remove: bool = False,
    to: list[str] | None = None,
    files: list[str] | None = None,
    env_files: list[str] | None = None,
    project_name: str = "",
    profiles: list[str] | None = None,
) -> State[None]:
    """Keep a backup whatever the policy says, or take that back.

    Args:
        stack: Which stack; `light`, or a name kept with `./ops stack add`. Not used when files are given.
        id: Which one; `last` is the newest complete one.
        reason: Why it is kept.
        remove: Take the pin away instead.
        to: Targets, as `NAME=PLACE` or `PLACE`; those of OPS_BACKUP_TARGETS when empty.
        files: Compose files of a project that is not kept by name.
        env_files: Files for interpolation.
        project_name: Name of the compose project, where it shall differ from the file's.
        profiles: Profiles to activate.
    """
    request = PinRequest(
        stack=stack,
        id=id,
        reason=reason,
        remove=remove,
        to=to or [],
        files=files or [],
        env_files=env_files or [],
        project_name=project_name,
        profiles=profiles or [],
    )
    return run(lambda home, runner: keeping.pin_backup(request, home, runner))

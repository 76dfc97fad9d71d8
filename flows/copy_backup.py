"""The flow that copies a backup to targets that lack it."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from compose.stack.backup.request import CopyRequest
from flows.backup_work import run
from flows.naming import named
from tasks.backup import keeping


@flow(name="copy-backup", flow_run_name=named("copy backup of"), validate_parameters=True)
def copy_backup(
    stack: str = "light",
    id: str = "last",
    source: str = "",
    trust: bool = False,
    to: list[str] | None = None,
    files: list[str] | None = None,
    env_files: list[str] | None = None,
    project_name: str = "",
    profiles: list[str] | None = None,
) -> State[None]:
    """Copy a backup to the targets that lack it, without touching the stores.

    Args:
        stack: Which stack; `light`, or a name kept with `./ops stack add`. Not used when files are given.
        id: Which one; `last` is the newest complete one.
        source: Target to read it from; the first that has it when empty.
        trust: Take one that this home has not signed.
        to: Targets, as `NAME=PLACE` or `PLACE`; those of OPS_BACKUP_TARGETS when empty.
        files: Compose files of a project that is not kept by name.
        env_files: Files for interpolation.
        project_name: Name of the compose project, where it shall differ from the file's.
        profiles: Profiles to activate.
    """
    request = CopyRequest(
        stack=stack,
        id=id,
        source=source,
        trust=trust,
        to=to or [],
        files=files or [],
        env_files=env_files or [],
        project_name=project_name,
        profiles=profiles or [],
    )
    return run(lambda home, runner: keeping.copy_backup(request, home, runner))

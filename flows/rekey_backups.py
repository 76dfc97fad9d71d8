"""The flow that changes who can open the backups that are there."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from compose.stack.backup.request import RekeyRequest
from flows.backup_work import run
from flows.naming import named
from tasks.backup import keys


@flow(name="rekey-backups", flow_run_name=named("rekey backups of"), validate_parameters=True)
def rekey_backups(
    stack: str = "light",
    identity: str = "",
    add: list[str] | None = None,
    remove: list[str] | None = None,
    to: list[str] | None = None,
    files: list[str] | None = None,
    env_files: list[str] | None = None,
    project_name: str = "",
    profiles: list[str] | None = None,
) -> State[None]:
    """Change who can open the backups that are there, the pool included.

    Args:
        stack: Which stack; `light`, or a name kept with `./ops stack add`. Not used when files are given.
        identity: File on the worker's machine with a key that opens them now.
        add: Recipients that can open them from now on.
        remove: Recipients that cannot any more.
        to: Targets, as `NAME=PLACE` or `PLACE`; those of OPS_BACKUP_TARGETS when empty.
        files: Compose files of a project that is not kept by name.
        env_files: Files for interpolation.
        project_name: Name of the compose project, where it shall differ from the file's.
        profiles: Profiles to activate.
    """
    request = RekeyRequest(
        stack=stack,
        identity=identity,
        add=add or [],
        remove=remove or [],
        to=to or [],
        files=files or [],
        env_files=env_files or [],
        project_name=project_name,
        profiles=profiles or [],
    )
    return run(lambda home, runner: keys.rekey_backups(request, home, runner))

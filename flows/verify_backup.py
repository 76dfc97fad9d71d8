"""The flow that proves backups: what people bet on has been read back."""

from __future__ import annotations

from prefect import flow
from prefect.client.schemas.objects import State

from compose.stack.backup.request import VerifyBackupRequest, VerifyLevel
from flows.backup_work import run
from flows.naming import named
from tasks.backup import proving


@flow(name="verify-backup", flow_run_name=named("verify backup of"), validate_parameters=True)
def verify_backup(
    stack: str = "light",
    id: str = "last",
    level: VerifyLevel = "bytes",
    sample: float = 1.0,
    identity: str = "",
    trust: bool = False,
    to: list[str] | None = None,
    files: list[str] | None = None,
    env_files: list[str] | None = None,
    project_name: str = "",
    profiles: list[str] | None = None,
) -> State[None]:
    """Prove that a backup can be read, and put on record to which level.

    Args:
        stack: Which stack; `light`, or a name kept with `./ops stack add`. Not used when files are given.
        id: Which one; `last` is the newest complete one.
        level: `bytes` compares every stored hash; `content` has each store's own tool read all of it.
        sample: Fraction of the pool's blobs that is read, from 0 to 1.
        identity: File on the worker's machine with the key that opens what is encrypted.
        trust: Take one that this home has not signed.
        to: Targets, as `NAME=PLACE` or `PLACE`; those of OPS_BACKUP_TARGETS when empty.
        files: Compose files of a project that is not kept by name.
        env_files: Files for interpolation.
        project_name: Name of the compose project, where it shall differ from the file's.
        profiles: Profiles to activate.
    """
    request = VerifyBackupRequest(
        stack=stack,
        id=id,
        level=level,
        sample=sample,
        identity=identity,
        trust=trust,
        to=to or [],
        files=files or [],
        env_files=env_files or [],
        project_name=project_name,
        profiles=profiles or [],
    )
    return run(lambda home, runner: proving.verify_backup(request, home, runner))

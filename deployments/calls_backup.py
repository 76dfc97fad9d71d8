"""The command line's way into the backup flows: recorded where Prefect's server runs, plain where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from compose.stack.backup.outcome import WorkReport
from compose.stack.backup.report import BackupReport
from compose.stack.backup.request import BackupRequest, BackupsRef
from deployments.calls import recorded
from deployments.session import Session

if TYPE_CHECKING:
    from blocks.home import Home
    from flows.walker import Runner


def backup(session: Session, request: BackupRequest) -> BackupReport:
    """Back up, as a flow run where Prefect is there."""
    if request.mode == "apply" and recorded(session):
        from flows.backup import backup_recorded

        return backup_recorded(request, session.home)
    from flows.backup_stack import backup_stack

    report = backup_stack(request, home=session.home)
    return report.model_copy(update={"recorded": False})


def work(session: Session, verb: str, request: BackupsRef) -> WorkReport:
    """One verb over backups that are there, as a flow run where Prefect is there.

    Args:
        verb: `verify_backup`, `copy_backup`, `expire_backups`, `pin_backup`, `rekey_backups` or `check_backups`.
    """
    plain = _plain(verb)
    if recorded(session):
        from importlib import import_module

        from flows.backup_work import recorded as as_run

        flow = getattr(import_module(f"flows.{verb}"), verb)
        return as_run(flow, request, session.home, lambda home, runner: plain(request, home, runner))
    from flows.walker import ThreadRunner

    return plain(request, session.home, ThreadRunner()).model_copy(update={"recorded": False})


def _plain(verb: str) -> Callable[[BackupsRef, Home, Runner], WorkReport]:
    from tasks.backup import fresh, keeping, keys, proving

    table: dict[str, Callable[..., WorkReport]] = {
        "verify_backup": proving.verify_backup,
        "copy_backup": keeping.copy_backup,
        "expire_backups": keeping.expire_backups,
        "pin_backup": keeping.pin_backup,
        "rekey_backups": keys.rekey_backups,
        "check_backups": fresh.check_backups,
    }
    return table[verb]


def watchdog(session: Session, loop: bool) -> Iterator[str]:
    """Start again what a backup stopped that died; a line for each service."""
    from tasks.backup.watchdog import watch

    return watch(session.home, loop=loop)

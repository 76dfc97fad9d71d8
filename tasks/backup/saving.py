"""Saving one component: its procedure, tried again only where that is safe, and what it became."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from compose.stack.backup.component import Component, Manner
from compose.stack.backup.manifest import ComponentRecord, Level, PlaceRecord
from compose.stack.backup.report import ComponentReport, holds
from compose.stack.errors import Failed, OpsError, Refused
from tasks.backup.procedure import Files, Procedure, Saved, Saving, Sink, Stopping
from tasks.backup.procedures import procedure_for
from tasks.backup.progress import Progress
from tasks.work import Work

log = logging.getLogger("ops.backup")
AT_ONCE = 2
"""Streams at a time: more would only share the processors and the disk."""


@dataclass(frozen=True)
class Under:
    """Files of one component: below a directory that has its name, whatever its procedure calls it."""

    files: Files
    component: str

    @property
    def sealed(self) -> bool:
        """Whether what is written is encrypted."""
        return self.files.sealed

    def file(self, path: str, **how: Any) -> AbstractContextManager[Sink]:
        """Write one file."""
        return self.files.file(f"{self.component}/{path.partition('/')[2] or path}", **how)


@dataclass
class Saver:
    """Saves components of one backup.

    Args:
        spool: Where stopped stores are copied to.
        pool: The pool of blobs.
        fixed: All stores are opened at one moment, that of a consistency point, and nothing of them a second time.
    """

    work: Work
    identifier: str
    files: Files
    stopping: Stopping
    spool: Path
    pool: Any
    progress: Progress
    verify: Level = "none"
    fixed: bool = False
    opened: dict[str, Procedure] = field(default_factory=dict)
    prepared: dict[str, Procedure] = field(default_factory=dict)
    broken: dict[str, OpsError] = field(default_factory=dict)
    reports: dict[str, ComponentReport] = field(default_factory=dict)
    records: dict[str, ComponentRecord] = field(default_factory=dict)
    _turns: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AT_ONCE))

    def early(self, component: Component, stopping: Stopping) -> None:
        """Do what can be done before anybody stands still.

        What is refused here is not opened: nobody stands still for it. What fails, fails later, in its turn.
        """
        procedure = procedure_for(self._saving(component, stopping))
        self.prepared[component.name] = procedure
        first = getattr(procedure, "early", None)
        if first is not None:
            try:
                with plain_errors():
                    first()
            except Refused as error:
                self.broken[component.name] = error
            except OpsError as error:
                log.warning("%s: %s: it is done in its turn", component.name, error.what)

    def open(self, component: Component, stopping: Stopping | None = None) -> None:
        """Fix the moment of one component; it is saved later.

        Args:
            stopping: How its services are stopped, where not as usual.
        """
        self.work.journal(f"open:{component.name}", "begin")
        procedure = self.prepared.pop(component.name, None) or procedure_for(self._saving(component, stopping))
        self.opened[component.name] = procedure
        procedure.open()
        self.work.journal(f"open:{component.name}", "end")

    def save(self, component: Component) -> str:
        """Save one component; what became of it, in a sentence.

        Raises:
            OpsError: It is not saved, whatever was wrong; nothing of it is left behind.
        """
        with self._turns, self.work.waiting(component.name):
            began, clock = datetime.now(UTC), time.monotonic()
            self.work.journal(f"save:{component.name}", "begin")
            try:
                with plain_errors():
                    record = self._record(component, self._tried(component), began)
            except OpsError as error:
                error.what = self.work.redactor.text(error.what)  # Prefect keeps what is raised
                self.reports[component.name] = self._failed(component, error, time.monotonic() - clock)
                raise
            finally:
                self.progress.finished(component.name)
            self.work.journal(f"save:{component.name}", "end")
            report = _report(component, record, time.monotonic() - clock)
        self.records[component.name], self.reports[component.name] = record, report
        said = f"saved in {report.seconds:.1f} s ({report.holds or 'nothing to count'})"
        if report.downtime is not None:
            said += f", {', '.join(component.services)} stood still for {report.downtime:.1f} s"
        self.work.say(component.name, said)
        return said

    def close(self) -> None:
        """Let go of everything that was opened and not saved."""
        for procedure in (*self.prepared.values(), *self.opened.values()):
            _close(procedure)
        self.prepared.clear()
        self.opened.clear()

    def _tried(self, component: Component) -> Saved:
        """Once more where that is safe: what was stopped is not stopped again, only its copy is sent again."""
        if component.name in self.broken:
            raise self.broken[component.name]
        try:
            return self._once(component, keep=component.manner is Manner.STOPPED)
        except OpsError as error:
            reopened = component.manner is Manner.LIVE or (component.manner is Manner.ONLINE and not self.fixed)
            if not reopened and component.name not in self.opened:
                raise
            self.work.say(component.name, f"did not succeed and is tried once more: {error.what}")
            return self._once(component, keep=False)

    def _once(self, component: Component, *, keep: bool) -> Saved:
        """Save; close unless a failure should leave the copy there for the next try."""
        if component.name not in self.opened:
            try:
                with plain_errors():
                    self.open(component)
            except BaseException:
                self._shut(component)
                raise
        try:
            with plain_errors():
                saved = self.opened[component.name].save()
        except BaseException as error:
            if not (keep and isinstance(error, OpsError)):
                self._shut(component)
            raise
        self._shut(component)
        return saved

    def _shut(self, component: Component) -> None:
        procedure = self.opened.pop(component.name, None)
        if procedure is not None:
            _close(procedure)

    def _saving(self, component: Component, stopping: Stopping | None) -> Saving:
        spool = self.spool / component.name
        spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Saving(
            work=self.work, component=component, files=Under(self.files, component.name),
            stopping=stopping or self.stopping, spool=spool, verify=self.verify,
            progress=self.progress.of(component.name), pool=self.pool, backup_id=self.identifier,
            consistency=self.fixed,
        )  # fmt: skip

    def _record(self, component: Component, saved: Saved, began: datetime) -> ComponentRecord:
        raw = self.work.engine.inspect(component.container) if component.container else None
        return ComponentRecord(
            name=component.name, kind=component.kind, manner=component.manner, services=component.services,
            places=tuple(
                PlaceRecord(kind=p.kind, source=p.source, target=p.target, service=p.service)
                for p in saved.places or component.places
            ),
            image=component.image, image_id=raw.image_id if raw else "", tool=saved.tool,
            tool_version=saved.tool_version, began=began, ended=datetime.now(UTC), moment=saved.moment,
            downtime=saved.downtime, files=saved.files, pool=saved.pool, fingerprint=dict(saved.fingerprint),
            sealed=saved.sealed, checked=saved.checked, left_out=saved.left_out,
            notes=tuple(self.work.redactor.text(note) for note in saved.notes),
        )  # fmt: skip

    def _failed(self, component: Component, error: OpsError, seconds: float) -> ComponentReport:
        return ComponentReport(
            component=component.name, kind=component.kind.value, how=component.manner.value, state="failed",
            seconds=round(seconds, 2), reason=self.work.redactor.text(str(error)),
        )  # fmt: skip


@contextmanager
def plain_errors() -> Iterator[None]:
    """Raise whatever goes wrong as an error that a person can read; what nobody expected is logged in full.

    Raises:
        Failed: Instead of anything that is no OpsError.
    """
    try:
        yield
    except OpsError:
        raise
    except OSError as error:
        raise Failed(f"{type(error).__name__}: {error}", next="df -h, then the same command again") from error
    except Exception as error:
        log.exception("nobody expected this")
        raise Failed(f"{type(error).__name__}: {error}", next="the log has where it happened") from error


def _close(procedure: Procedure) -> None:
    """Close it; what cannot be cleaned up is no reason to lose what was saved."""
    try:
        with plain_errors():
            procedure.close()
    except OpsError as error:
        log.warning("could not clean up: %s", error)


def _report(component: Component, record: ComponentRecord, seconds: float) -> ComponentReport:
    files = record.all_files
    stored = sum(file.stored.bytes for file in files)
    pool = record.pool
    return ComponentReport(
        component=component.name, kind=component.kind.value, how=component.manner.value, state="saved",
        plain=sum(file.plain.bytes for file in record.files) + (pool.bytes if pool else 0),
        stored=stored, new=stored + (pool.new_bytes if pool else 0), seconds=round(seconds, 2),
        downtime=record.downtime, checked=record.checked, holds=holds(record.fingerprint), notes=record.notes,
    )  # fmt: skip


def seconds_of(reports: Mapping[str, ComponentReport]) -> dict[str, dict[str, Any]]:
    """What a backup took, for the predictions of the next one."""
    return {
        f"backup:{name}": {"seconds": report.seconds, "gap": report.downtime}
        for name, report in reports.items()
        if report.ok
    }

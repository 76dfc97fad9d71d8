"""Beginning a backup: its name, its place on every target, what dead runs left; and giving it up whole."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

from blocks.backup.identity import Identity, claim, own_identity
from blocks.backup.places import Places
from blocks.backup.pool import PoolWriter
from blocks.backup.proof import require_proven
from blocks.backup.sealing import parse_recipients
from blocks.backup.shelf import Shelf
from blocks.backup.signing import Keyring
from blocks.backup.spool import spool_directory, sweep_spools
from blocks.backup.writer import BackupWriter
from blocks.lock import SharedLock
from blocks.stores.scratch import sweep as sweep_scratch
from blocks.targets.base import Target
from compose.stack.backup.component import Component, Manner
from compose.stack.backup.ids import backup_id
from compose.stack.backup.manifest import ConsistencyRecord
from compose.stack.backup.order import rounds
from compose.stack.backup.report import BackupReport, ComponentReport, TargetReport, headline
from compose.stack.backup.request import BackupRequest
from compose.stack.errors import Exit, Failed, OpsError, Refused
from tasks.backup.leftovers import sweep_snapshots
from tasks.backup.prepare import Prepared, spool_of
from tasks.backup.progress import Progress
from tasks.backup.saving import Saver, plain_errors
from tasks.backup.stopping import Stopper
from tasks.backup.turn import PATIENCE
from tasks.work import Work

log = logging.getLogger("ops.backup")
POOL_UPLOADS = timedelta(hours=24)
"""Half-sent blobs are worth continuing for so long."""


@dataclass
class Begun:
    """A backup under way.

    Args:
        stopper: Stops services while it has the stack's lock alone.
        unreachable: Why targets were left out before anything was written there, by name.
        complete: Set when its manifest is written: then it is not given up any more.
    """

    work: Work
    request: BackupRequest
    prepared: Prepared
    identifier: str
    identity: Identity
    keyring: Keyring
    writer: BackupWriter
    pool: PoolWriter
    saver: Saver
    lock: SharedLock
    unreachable: dict[str, OpsError] = field(default_factory=dict)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    consistency: ConsistencyRecord | None = None
    complete: bool = False

    @property
    def components(self) -> tuple[Component, ...]:
        """What is saved."""
        return self.prepared.components

    def open_all(self) -> str:
        """Fix the moment of every store while those who write to them stand still.

        A store that cannot be opened then is not saved at another moment: it has failed.
        """
        plan, stopper = self.prepared.plan, Stopper(self.work)
        self.work.journal("consistency", "begin", writers=list(plan.writers))
        for component in self.components:
            self.saver.early(component, stopper)
        standing = stopper.stopped(plan.writers, "consistency point", clean=False)  # nothing of theirs is copied
        with self.lock.alone(PATIENCE), standing as downtime:
            moment = datetime.now(UTC)
            with ThreadPoolExecutor(4) as pool:
                for together in rounds(self.components):
                    list(pool.map(partial(self._open, stopper=stopper), together))
        seconds = round(downtime.seconds or 0.0, 2)
        self.consistency = ConsistencyRecord(moment=moment, writers=plan.writers, seconds=seconds)
        self.work.journal("consistency", "end", seconds=seconds)
        return f"{', '.join(plan.writers) or 'nobody'} stood still for {seconds:.1f} s"

    def _open(self, component: Component, stopper: Stopper) -> None:
        if component.manner is Manner.LIVE or component.name in self.saver.broken:
            return
        try:
            with plain_errors():
                self.saver.open(component, stopper)
        except OpsError as error:
            self.saver.broken[component.name] = error

    def report(self, targets: tuple[TargetReport, ...], seconds: float) -> BackupReport:
        """What became of it; what nobody reported on is not saved."""
        components = [self._reported(component) for component in self.components]
        bad = [f"{one.component}: {one.reason}" for one in components if not one.ok]
        lost = [f"target {one.target}: {one.reason}" for one in targets if not one.ok]
        plan = self.prepared.plan
        made = BackupReport(
            stack=self.work.found.name, project=self.work.name, id=self.identifier, seconds=round(seconds, 2),
            complete=not (bad or lost or plan.left), exit_code=Exit.FAILED if bad or lost else Exit.DONE,
            components=components, targets=list(targets), errors=[*bad, *lost], notes=list(plan.notes),
            waived=[f"{waiver.what}: {waiver.reason}" for waiver in plan.waived],
            left_out=list(self.left_out), writers=list(plan.writers),
            writers_stop=self.consistency.seconds if self.consistency else None,
        )  # fmt: skip
        return made.model_copy(update={"headline": headline(made)})

    def _reported(self, component: Component) -> ComponentReport:
        report = self.saver.reports.get(component.name)
        if report is not None and report.ok == (component.name in self.saver.records):
            return report
        return ComponentReport(
            component=component.name, kind=component.kind.value, how=component.manner.value, state="failed",
            reason="it was not saved, and nobody said why: the log of this run has more",
        )  # fmt: skip

    @property
    def left_out(self) -> tuple[str, ...]:
        """Secrets that were left out because nothing encrypts them, by name."""
        return tuple(name for record in self.saver.records.values() for name in record.left_out)


@contextmanager
def begin(
    work: Work, request: BackupRequest, prepared: Prepared, lock: SharedLock, show: Callable[[float], None]
) -> Iterator[Begun]:
    """Begin a backup; when it is not completed, nothing of it stays anywhere.

    Raises:
        Refused: A target belongs to another host's stack, or nobody proved that he can open what is encrypted.
    """
    home, identifier = work.home, backup_id(datetime.now(UTC), os.urandom(4))
    recipients = parse_recipients(home.settings()["OPS_BACKUP_RECIPIENTS"])
    require_proven(home, recipients)
    keyring = Keyring.of(home)
    identity = own_identity(home, work.found.name, keyring)
    places = Places.of(home, work.found.name)
    targets, unreachable = _taken(prepared, identity, keyring, places, adopt=request.adopt)
    root = spool_of(work)
    sweep_spools(root)
    sweep_scratch(work.engine)
    sweep_snapshots(work, prepared.inventory.components)
    with spool_directory(root, identifier) as spool:
        writer = BackupWriter(targets, identity.stack_id, identifier, recipients)
        pool = PoolWriter(writer, keyring, work.state / "pool-index.sqlite", reread=request.reread)
        progress = Progress({p.component.name: p.bytes for p in prepared.plan.components}, work.say, show)
        stopper = Stopper(work, exclusive=partial(lock.alone, PATIENCE))
        saver = Saver(
            work, identifier, writer, stopper, spool, pool, progress, request.verify, fixed=request.consistency
        )
        begun = Begun(
            work, request, prepared, identifier, identity, keyring, writer, pool, saver, lock, unreachable
        )
        try:
            yield begun
        finally:
            saver.close()
            pool.close()
            if not begun.complete:
                writer.abort()


def _taken(
    prepared: Prepared, identity: Identity, keyring: Keyring, places: Places, *, adopt: bool
) -> tuple[dict[str, Target], dict[str, OpsError]]:
    """The targets that are ours and swept; and those that cannot be used: without them it goes on, and has failed.

    Raises:
        Refused: None is left, and one belongs to another host's stack.
        Failed: None is left.
    """
    taken, unreachable = dict[str, Target](), dict(prepared.failing)
    for target in prepared.targets:
        try:
            claim(target, identity, keyring, adopt=adopt, places=places)
            sweep(target, identity, keyring)
            taken[target.name] = target
        except OpsError as error:
            unreachable[target.name] = error
            log.warning("%s: left out: %s", target.name, error)
    if not taken:
        for foreign in (error for error in unreachable.values() if isinstance(error, Refused)):
            raise foreign
        said = "; ".join(f"{name}: {error}" for name, error in unreachable.items())
        raise Failed(f"no target answers: {said}", where="backup", next="the same again when one does")
    return taken, unreachable


def sweep(target: Target, identity: Identity, keyring: Keyring) -> None:
    """Remove what dead backups of this stack left on a target; only one backup of a stack runs at a time.

    Credentials that cannot delete leave it where it is: it never counts as a backup, and the bucket's own rules
    or a sweep with other credentials remove it.
    """
    now = datetime.now(UTC) + timedelta(seconds=target.skew() + 1)
    shelf = Shelf(target, identity.stack_id, keyring)
    gone: list[str] = []
    try:
        gone += target.sweep_uploads(now, f"{identity.stack_id}/backups/")
        gone += target.sweep_uploads(now - POOL_UPLOADS, f"{identity.stack_id}/")
        gone += shelf.sweep_leftovers(now)
    except Refused as error:
        log.warning("%s: what a dead run left stays there: %s", target.name, error)
    if gone:
        log.info("%s: removed what a dead run left: %s", target.name, ", ".join(gone[:5]))

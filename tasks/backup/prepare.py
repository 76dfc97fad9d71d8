"""Before a backup: the inventory, the sizes, the targets, and the plan that follows from them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from blocks.targets.base import Target
from compose.stack.backup.component import Component
from compose.stack.backup.facts import Facts
from compose.stack.backup.inventory import Inventory
from compose.stack.backup.plan import BackupPlan, Earlier, TargetPlan, decide
from compose.stack.backup.request import BackupRequest
from compose.stack.backup.writers import writers
from compose.stack.errors import OpsError
from tasks import history
from tasks.backup.look import inventory
from tasks.backup.pooled import goes_into_pool
from tasks.backup.sizes import sizes_of
from tasks.backup.stopping import Stopper
from tasks.backup.targets import configured
from tasks.work import Work


@dataclass(frozen=True)
class Prepared:
    """Everything that was looked at, and the plan.

    Args:
        targets: Those that can be used.
        failing: What ails the others, by name: the backup is made without them, and has failed there.
    """

    facts: Facts
    inventory: Inventory
    plan: BackupPlan
    targets: tuple[Target, ...]
    failing: dict[str, OpsError]

    def refuse(self) -> None:
        """Raise Refused when something stands against the backup."""
        self.plan.refuse()

    @property
    def components(self) -> tuple[Component, ...]:
        """What is saved."""
        return tuple(part.component for part in self.plan.components)


def prepare(work: Work, request: BackupRequest) -> Prepared:
    """Look at everything and plan; nothing is touched."""
    facts, found = inventory(work)
    failing, usable = _checked(configured(work.home, request.to))
    spool = spool_of(work)
    only = tuple(dict.fromkeys(request.only))
    chosen = tuple(found.named(name) for name in only) or found.components
    sizes = sizes_of(work, facts, chosen)
    plan = decide(
        found,
        sizes,
        earlier(work),
        only=only,
        targets=[TargetPlan(target.name, target.place, target.room()) for target in usable],
        spool=str(spool),
        spool_free=free_bytes(spool),
        writers=writers(work.stack, chosen) if request.consistency else (),
        writers_limit=request.writers_stop,
        notes=_notes(work, usable),
        limits={one.name: Stopper(work).limit_of(one.services) for one in chosen},
        failing=[f"target {name}: {str(error).removeprefix(f'{name}: ')}" for name, error in failing.items()],
        pooled=[one.name for one in chosen if goes_into_pool(work.engine, one, sizes[one.name])],
    )
    return Prepared(facts, found, plan, usable, failing)


def _checked(targets: tuple[Target, ...]) -> tuple[dict[str, OpsError], tuple[Target, ...]]:
    failing, usable = {}, []
    for target in targets:
        try:
            target.check()
            usable.append(target)
        except OpsError as error:
            failing[target.name] = error
    return failing, tuple(usable)


def _notes(work: Work, targets: tuple[Target, ...]) -> list[str]:
    """What a person should know before he bets on it."""
    notes = []
    root = Path("/var/lib/docker")
    for target in targets:
        path = Path(target.place)
        if target.place.startswith("/") and path.exists() and root.exists() and _same_disk(path, root):
            notes.append(
                f"target {target.name} lies on the disk of the data itself: it is no help when that disk is lost"
            )
    if not work.home.settings()["OPS_BACKUP_RECIPIENTS"]:
        notes.append("nothing is encrypted (OPS_BACKUP_RECIPIENTS): secrets are left out, by name")
    return notes


def _same_disk(one: Path, other: Path) -> bool:
    return os.stat(one).st_dev == os.stat(other).st_dev


def earlier(work: Work) -> Earlier:
    """What the last backups took, by component."""
    seconds, gaps = history.expected(work.state), history.expected(work.state, "gap")
    return Earlier(_own(seconds), _own(gaps))


def _own(values: dict[str, float]) -> dict[str, float]:
    return {name.removeprefix("backup:"): value for name, value in values.items() if name.startswith("backup:")}


def spool_of(work: Work) -> Path:
    """Where stopped stores are copied to: OPS_SPOOL, else below the state directory."""
    told = work.home.settings()["OPS_SPOOL"]
    return Path(told) if told else work.home.path / "spool"


def free_bytes(place: Path) -> int:
    """Bytes free where a directory is, or will be made."""
    there = next(path for path in (place, *place.parents) if path.exists())
    return shutil.disk_usage(there).free

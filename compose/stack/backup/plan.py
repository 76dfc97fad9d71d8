"""What a backup would do: what is saved, how large, for how long who stands still, and what stands against it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compose.stack.backup.component import Component, Kind, Manner, Waiver
from compose.stack.backup.inventory import Inventory
from compose.stack.errors import Refused

COPY_SPEED = 200e6
"""Bytes per second of a local copy, where nothing was measured yet."""
STOP_AND_START = 10.0
"""Seconds to stop a store and have it ready again, where nothing was measured yet."""
SPARE = 1.1


@dataclass(frozen=True)
class Earlier:
    """What earlier backups took, in seconds, by component."""

    seconds: Mapping[str, float]
    downtime: Mapping[str, float]


@dataclass(frozen=True)
class ComponentPlan:
    """One component's part.

    Args:
        bytes: What its places hold, an upper bound of what is read.
        seconds: As the last backups took; None when never measured.
        downtime: Expected seconds without its services; None where nothing is stopped.
        measured: Whether the downtime is from earlier backups.
    """

    component: Component
    bytes: int
    seconds: float | None = None
    downtime: float | None = None
    measured: bool = False


@dataclass(frozen=True)
class TargetPlan:
    """One target: its free bytes where they are known."""

    name: str
    place: str
    room: int | None = None


@dataclass(frozen=True)
class BackupPlan:
    """The whole plan.

    Args:
        left: Components that were not chosen.
        writers: Services that would stand still at a consistency point; empty without one.
        writers_stop: Expected seconds of that.
        spool: Where stopped stores are copied to; `spool_bytes` is what that takes at most, `spool_free` is there.
        problems: Everything that stands against it.
        failing: Targets that do not answer: the others get the backup, and the run has failed.
    """

    components: tuple[ComponentPlan, ...]
    targets: tuple[TargetPlan, ...] = ()
    waived: tuple[Waiver, ...] = ()
    left: tuple[str, ...] = ()
    writers: tuple[str, ...] = ()
    writers_stop: float = 0.0
    spool: str = ""
    spool_bytes: int = 0
    spool_free: int = 0
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """What will be read at most."""
        return sum(one.bytes for one in self.components)

    @property
    def seconds(self) -> float | None:
        """How long it will take, from earlier backups; None when one was never measured."""
        known = [one.seconds for one in self.components]
        return None if None in known else sum(value for value in known if value is not None)

    def refuse(self) -> None:
        """Raise Refused, with every problem at once, when something stands against it."""
        if self.problems:
            said = "; ".join(self.problems)
            told = len(self.problems) == 1 and " Next: " in said
            raise Refused(said, where="backup", next="" if told else "./ops backup --mode plan shows all of it")


def decide(
    inventory: Inventory,
    sizes: Mapping[str, int],
    earlier: Earlier,
    *,
    only: Sequence[str] = (),
    targets: Sequence[TargetPlan] = (),
    spool: str = "",
    spool_free: int = 0,
    writers: Sequence[str] = (),
    writers_limit: float = 0.0,
    notes: Sequence[str] = (),
    failing: Sequence[str] = (),
    pooled: Collection[str] = (),
    limits: Mapping[str, float] | None = None,
) -> BackupPlan:
    """Make the plan.

    Args:
        sizes: Bytes by component.
        only: Components that were chosen; all when empty.
        writers: Who stands still at a consistency point; nobody when empty.
        writers_limit: Seconds that they may.
        pooled: Components whose files go one by one into the pool: only what changes before the stop is copied,
            and the backup sees to room for that.
        limits: Seconds that a component's services may stand still, by its name.
        failing: What ails targets that cannot be used; it stands against the backup when no other is there.

    Raises:
        Refused: A chosen component does not exist.
    """
    chosen = tuple(inventory.named(name) for name in only) or inventory.components
    copies = {one.name: sizes.get(one.name, 0) for one in chosen if _is_copied(one)}
    copies |= dict.fromkeys(copies.keys() & set(pooled), 0)
    parts = tuple(_part(one, sizes.get(one.name, 0), copies.get(one.name, 0), earlier) for one in chosen)
    copied = sum(copies.values())
    stop = sum(part.downtime or 0.0 for part in parts) + (STOP_AND_START if writers else 0.0) if writers else 0.0
    problems = [*inventory.problems]
    if copied * SPARE > spool_free and copied:
        problems.append(
            f"the spool needs {megabytes(copied * SPARE)} and {spool} has {megabytes(spool_free)} free "
            "(OPS_SPOOL names another place)"
        )
    problems += [
        problem for part in parts if (problem := _too_long(part, (limits or {}).get(part.component.name)))
    ]
    if writers and stop > writers_limit:
        problems.append(f"the writers would stand still for about {stop:.0f} s, {writers_limit:.0f} s are allowed")
    if not targets:
        problems += failing or ["there is no target (OPS_BACKUP_TARGETS)"]
    left = tuple(component.name for component in inventory.components if component not in chosen)
    return BackupPlan(
        parts, tuple(targets), inventory.waived, left, tuple(writers), stop, spool, int(copied * SPARE),
        spool_free, tuple(problems), tuple(notes), tuple(failing if targets else ()),
    )  # fmt: skip


def _too_long(part: ComponentPlan, limit: float | None) -> str:
    """What is wrong with a stop that would be given up every time; empty when it fits."""
    if limit is None or part.downtime is None or part.downtime <= limit:
        return ""
    names = ", ".join(part.component.services)
    how = "took" if part.measured else "would take"
    return (
        f"{part.component.name}: its copy {how} about {part.downtime:.0f} s, and {names} may stand still for"
        f" {limit:.0f} s: it would be given up every time (x-ops.backup of {names}: stop_limit allows more,"
        " pool copies only what changed, live copies while it runs)"
    )


def _is_copied(component: Component) -> bool:
    """Whether it goes through the spool: what is stopped, and Redis' file, which the server may replace."""
    return component.manner is Manner.STOPPED or component.kind is Kind.REDIS


def _part(component: Component, size: int, copied: int, earlier: Earlier) -> ComponentPlan:
    seconds = earlier.seconds.get(component.name)
    if component.manner is not Manner.STOPPED:
        return ComponentPlan(component, size, seconds)
    known = earlier.downtime.get(component.name)
    guess = STOP_AND_START + copied / COPY_SPEED
    return ComponentPlan(component, size, seconds, known if known is not None else guess, known is not None)


def plan_rows(plan: BackupPlan) -> list[dict[str, Any]]:
    """The plan as rows, for tables and JSON."""
    rows: list[dict[str, Any]] = [
        {
            "component": part.component.name,
            "kind": part.component.kind.value,
            "how": part.component.manner.value,
            "bytes": part.bytes,
            "seconds": part.seconds,
            "stands still": ", ".join(part.component.services) if part.component.manner is Manner.STOPPED else "",
            "downtime": part.downtime,
            "why": part.component.why,
        }
        for part in plan.components
    ]
    waived = [{"component": waiver.what, "how": "waived", "why": waiver.reason} for waiver in plan.waived]
    keys = rows[0] if rows else {"component": "", "how": "", "why": ""}
    return rows + [{key: row.get(key) for key in keys} for row in waived]


def megabytes(size: float) -> str:
    """Bytes for people: `12 B`, `441.2 MB`, `2.1 GB`."""
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"

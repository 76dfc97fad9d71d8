"""Whether the last good backup is young enough, on every target, and none has shrunk without a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from compose.stack.backup.manifest import ComponentRecord
from compose.stack.backup.view import BackupView, age_text

BASE = 3
"""Earlier backups that a size is compared with."""
SMALL = 1_000_000
"""Bytes below which a change of size says nothing."""
SIZE = "size "


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Args:
        about: What it concerns, the same as long as it lasts: who was told of it is not told again.
        text: For people; ages in it change.
    """

    about: str
    text: str


@dataclass(frozen=True)
class Freshness:
    """The verdict on a stack's backups.

    Args:
        age: Seconds since the moment that the last good backup is of; None when there is none.
    """

    stack: str
    age: float | None
    last: str = ""
    faults: tuple[Fault, ...] = ()

    @property
    def good(self) -> bool:
        """True when nobody has to be told."""
        return not self.faults

    @property
    def reasons(self) -> tuple[str, ...]:
        """Everything that is wrong."""
        return tuple(one.text for one in self.faults)

    @property
    def shrunk(self) -> tuple[str, ...]:
        """Components that lost more than the allowed fraction of their size: expiry is held."""
        return tuple(one.text for one in self.faults if one.about.startswith(SIZE))

    @property
    def sentence(self) -> str:
        """For people."""
        if self.good:
            return f"{self.stack}: the last complete backup, {self.last}, is {age_text(self.age or 0)} old"
        return f"{self.stack}: {' | '.join(self.reasons)}"


def judge(
    stack: str,
    views: Sequence[BackupView],
    now: datetime,
    objective: float,
    drop: float,
    problems: Sequence[str] = (),
    targets: Sequence[str] = (),
) -> Freshness:
    """Judge the backups of a stack.

    Args:
        views: Oldest first.
        objective: Seconds that the last good backup may be old (the RPO).
        drop: Fraction of its usual size that a component may lose.
        problems: Targets that could not be asked.
        targets: Those that answered: each has to have a good backup that is young enough.
    """
    faults = [Fault(text.partition(": ")[0], text) for text in problems]
    good = [view for view in views if view.good and not view.ahead(now)]
    for view in views:
        if view.ahead(now):
            said = f"{view.id} is of the future and does not count: this clock is wrong, or was wrong then"
            faults.append(Fault(f"future {view.id}", said))
    whole = _too_old(good, now, objective)
    faults += [whole] if whole else []
    for target in () if whole else targets:
        here = _too_old([view for view in good if target in view.targets], now, objective, target)
        faults += [here] if here else []
    last = good[-1] if good else None
    age = (now - last.manifest.age).total_seconds() if last and last.manifest else None
    return Freshness(stack, age, last.id if last else "", (*faults, *shrunk(good, drop)))


def _too_old(good: Sequence[BackupView], now: datetime, objective: float, target: str = "") -> Fault | None:
    on = f" on {target}" if target else ""
    manifest = good[-1].manifest if good else None
    if manifest is None:
        return Fault(f"age{on}", f"there is no complete backup{on}")
    age = (now - manifest.age).total_seconds()
    if age <= objective:
        return None
    said = f"the last complete backup{on}, {manifest.id}, is {age_text(age)} old"
    return Fault(f"age{on}", f"{said}; the objective is {age_text(objective)}")


def shrunk(good: Sequence[BackupView], drop: float) -> tuple[Fault, ...]:
    """The components of the last backup that are much smaller than they were, or gone; until somebody accepts it.

    What shrank is never what later backups are compared with: the loss does not become usual by itself.
    """
    usual, known, count = dict[str, list[int]](), set[str](), 0
    faults: dict[str, Fault] = {}
    for view in good:
        if view.accepted:
            usual, known, count = {}, set(), 0
        known |= {name for name, sizes in usual.items() if len(sizes) >= min(BASE, count)}
        now = {one.name: _bytes(one) for one in view.manifest.components} if view.manifest else {}
        found = {name: _drop(name, median(usual[name]), now.get(name), drop) for name in sorted(known)}
        faults = {name: fault for name, fault in found.items() if fault}
        for name in now.keys() - faults.keys():
            usual[name] = [*usual.get(name, ()), now[name]][-BASE:]
        count += 1
    return tuple(faults.values())


def _drop(name: str, usual: float, now: int | None, drop: float) -> Fault | None:
    if usual < SMALL or (now is not None and now >= usual * (1 - drop)):
        return None
    lost = "is in the backup no more" if now is None else f"shrank by {1 - now / usual:.0%}"
    said = f"{name} {lost}: expiry is held until somebody looks (./ops expire --accept-drop REASON)"
    return Fault(f"{SIZE}{name}", said)


def _bytes(component: ComponentRecord) -> int:
    return sum(file.plain.bytes for file in component.files) + (component.pool.bytes if component.pool else 0)

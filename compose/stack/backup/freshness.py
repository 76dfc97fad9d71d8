"""Whether the last good backup is young enough, and none has shrunk without a reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from compose.stack.backup.manifest import ComponentRecord
from compose.stack.backup.view import BackupView, age_text

BASE = 3
"""Earlier backups that a size is compared with."""
SMALL = 1_000_000
"""Bytes below which a change of size says nothing."""


@dataclass(frozen=True)
class Freshness:
    """The verdict on a stack's backups.

    Args:
        age: Seconds since the moment that the last good backup is of; None when there is none.
        shrunk: Components that lost more than the allowed fraction of their size: expiry is held.
    """

    stack: str
    objective: float
    age: float | None
    last: str = ""
    shrunk: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """True when nobody has to be told."""
        return not self.reasons

    @property
    def reasons(self) -> tuple[str, ...]:
        """Everything that is wrong."""
        said = list(self.problems)
        if self.age is None:
            said.append("there is no complete backup")
        elif self.age > self.objective:
            said.append(
                f"the last complete backup, {self.last}, is {age_text(self.age)} old; "
                f"the objective is {age_text(self.objective)}"
            )
        return (*said, *self.shrunk)

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
) -> Freshness:
    """Judge the backups of a stack.

    Args:
        views: Oldest first.
        objective: Seconds that the last good backup may be old (the RPO).
        drop: Fraction of its usual size that a component may lose.
        problems: Targets that could not be asked.
    """
    good = [view for view in views if view.good and view.manifest]
    last = good[-1] if good else None
    age = (now - last.manifest.age).total_seconds() if last and last.manifest else None
    named = last.id if last else ""
    return Freshness(stack, objective, age, named, shrunk(good, drop), tuple(problems))


def shrunk(good: Sequence[BackupView], drop: float) -> tuple[str, ...]:
    """The components of the last backup that are much smaller than in the ones before; those that are gone too."""
    manifests = [view.manifest for view in good if view.manifest]
    if len(manifests) < 2:
        return ()
    said = []
    before = manifests[-1 - BASE : -1]
    now = {component.name: _bytes(component) for component in manifests[-1].components}
    for name, sizes in _earlier([{c.name: _bytes(c) for c in manifest.components} for manifest in before]).items():
        usual = median(sizes)
        if usual < SMALL or len(sizes) < len(before):
            continue
        if name not in now:
            said.append(f"{name} is in the backup no more")
        elif now[name] < usual * (1 - drop):
            said.append(f"{name} shrank by {1 - now[name] / usual:.0%}: expiry is held until somebody looks")
    return tuple(said)


def _earlier(backups: Sequence[Mapping[str, int]]) -> dict[str, list[int]]:
    sizes: dict[str, list[int]] = {}
    for backup in backups:
        for name, size in backup.items():
            sizes.setdefault(name, []).append(size)
    return sizes


def _bytes(component: ComponentRecord) -> int:
    return sum(file.plain.bytes for file in component.files) + (component.pool.bytes if component.pool else 0)

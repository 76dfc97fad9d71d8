"""What lies on the targets, as a person wants to see it: one line per backup, one per store, one per target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from compose.stack.backup.manifest import Manifest
from compose.stack.backup.plan import megabytes
from compose.stack.backup.retention import SKEW

BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class BackupView:
    """One backup, wherever it lies.

    Args:
        targets: Names of the targets that have it whole.
        verified: Highest level it was proven to since.
        expires: Empty when it stays; else when and why it goes.
        kept: Why it stays.
        problem: Why it cannot be read; empty when it can.
        accepted: Somebody said that it may be so much smaller than the ones before.
    """

    id: str
    began: datetime
    manifest: Manifest | None = None
    targets: tuple[str, ...] = ()
    verified: str = "none"
    pinned: str = ""
    kept: tuple[str, ...] = ()
    expires: str = ""
    problem: str = ""
    accepted: bool = False

    @property
    def good(self) -> bool:
        """True for a backup that is complete and can be read."""
        return self.manifest is not None and self.manifest.complete and not self.problem

    def ahead(self, now: datetime) -> bool:
        """True for one that was made by a clock that was ahead, or that is looked at by one that is behind."""
        ends = [self.manifest.age, self.manifest.ended] if self.manifest else []
        return max(self.began, *ends) > now + timedelta(seconds=SKEW)

    def _why(self) -> str:
        """The first reasons; `./ops expire` has all of them."""
        more = len(self.kept) - 2
        return "; ".join(self.kept[:2]) + (f"; and {more} more" if more > 0 else "")

    def row(self, now: datetime, before: BackupView | None) -> dict[str, Any]:
        """For a table; `before` is the backup before it, for its growth."""
        size = self.manifest.stored_bytes if self.manifest else 0
        earlier = before.manifest.stored_bytes if before and before.manifest else 0
        state = self.problem or ("complete" if self.good else f"without {_missing(self.manifest)}")
        return {
            "backup": self.id,
            "age": age_text((now - self.began).total_seconds()),
            "size": megabytes(size),
            "growth": f"{(size - earlier) / earlier:+.0%}" if earlier else "",
            "state": state,
            "verified": self.verified,
            "on": ", ".join(self.targets),
            "kept": self._why(),
            "expires": self.expires,
        }


def _missing(manifest: Manifest | None) -> str:
    return ", ".join(one.what for one in manifest.missing) if manifest else "its manifest"


def age_text(seconds: float) -> str:
    """`5 min`, `7 h`, `12 d`."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def sparkline(values: Sequence[float]) -> str:
    """A row of bars, the highest for the largest value."""
    most = max(values, default=0)
    return "".join(BARS[round((len(BARS) - 1) * value / most)] if most else BARS[0] for value in values)


def store_rows(views: Sequence[BackupView], now: datetime) -> list[dict[str, Any]]:
    """One row per component over all backups: age, size, growth, downtime.

    Args:
        views: Oldest first.
    """
    sizes: dict[str, list[float]] = {}
    last: dict[str, tuple[BackupView, Any]] = {}
    for view in views:
        for component in view.manifest.components if view.manifest else ():
            plain = sum(f.plain.bytes for f in component.files) + (component.pool.bytes if component.pool else 0)
            sizes.setdefault(component.name, []).append(float(plain))
            last[component.name] = (view, component)
    rows = []
    for name, (view, component) in last.items():
        recent = sizes[name][-12:]
        moment = component.moment or component.began
        growth = f"{(recent[-1] - recent[0]) / recent[0]:+.0%}" if len(recent) > 1 and recent[0] else ""
        rows.append(
            {
                "store": name,
                "kind": component.kind.value,
                "age": age_text((now - moment).total_seconds()),
                "size": megabytes(recent[-1]),
                "growth": growth,
                "last backups": sparkline(recent),
                "downtime": None if component.downtime is None else f"{component.downtime:.1f} s",
                "verified": view.verified if view.verified != "none" else component.checked,
            }
        )
    return rows


def days_until_full(room: int | None, views: Sequence[BackupView]) -> float | None:
    """Days until a target is full, when it goes on as in the last backups; None where that cannot be told.

    Args:
        room: Free bytes.
        views: Backups on this target, oldest first.
    """
    known = [view for view in views if view.manifest]
    if room is None or len(known) < 2:
        return None
    span = (known[-1].began - known[0].began).total_seconds() / 86400
    added = sum(view.manifest.new_bytes for view in known[1:] if view.manifest)
    return room / (added / span) if span > 0 and added > 0 else None


def target_rows(rooms: Mapping[str, int | None], views: Sequence[BackupView]) -> list[dict[str, Any]]:
    """One row per target: how many backups, when the last, what is free, when it is full."""
    rows = []
    for name, room in rooms.items():
        here = [view for view in views if name in view.targets]
        days = days_until_full(room, here)
        rows.append(
            {
                "target": name,
                "backups": len(here),
                "last": here[-1].id if here else "none",
                "free": None if room is None else megabytes(room),
                "full in": None if days is None else f"{days:.0f} days",
            }
        )
    return rows

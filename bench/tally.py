"""Samples, their medians, and the table of the results."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

CELL = "\\|"
"""A pipe that does not end a cell."""
WHOLE = ("MB", "MB/s", "B")
"""Units without decimals."""


@dataclass
class Tally:
    """What was measured, by name; kept in a file after every sample, so that an interrupted bench is not lost."""

    path: Path
    samples: dict[str, list[float]] = field(default_factory=dict)
    loads: list[float] = field(default_factory=list)

    @classmethod
    def at(cls, path: Path, *, add: bool) -> Tally:
        """A tally that is kept in a file.

        Args:
            add: Go on with what the file holds; begin anew by default.
        """
        return cls(path, **json.loads(path.read_text())) if add and path.exists() else cls(path)

    def add(self, name: str, *values: float) -> None:
        """Keep samples."""
        self.samples.setdefault(name, []).extend(round(value, 6) for value in values)
        self.loads.append(round(os.getloadavg()[0], 1))
        self.path.write_text(json.dumps({"samples": self.samples, "loads": self.loads}, indent=1) + "\n")
        shown = f"{values[0]:.2f}" if len(values) == 1 else f"median of {len(values)}: {median(values):.3f}"
        print(f"  {name}: {shown}   (load {self.loads[-1]})", flush=True)

    def of(self, name: str) -> list[float]:
        """All samples of one name."""
        return self.samples.get(name, [])

    def median(self, name: str) -> float | None:
        """Their median, None when there are none."""
        return median(self.of(name)) if self.of(name) else None

    def ratio(self, name: str, base: str) -> float | None:
        """Median of the ratios of the pairs that were measured one after the other."""
        pairs = [(one, other) for one, other in zip(self.of(name), self.of(base), strict=False) if other]
        return median(one / other for one, other in pairs) if pairs else None


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        ours, theirs: Names of samples; `theirs` is what `ours` is divided by, if anything.
        target: What was promised, for people.
        unit: Of the samples: s, ms, MB, MB/s, B.
    """

    what: str
    ours: str
    theirs: str = ""
    target: str = ""
    unit: str = "s"
    inverse: bool = False


def table(tally: Tally, rows: Sequence[Row]) -> str:
    """The results as Markdown."""
    lines = ["| what | ours | peer | ratio | target | runs |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(_line(tally, row) for row in rows if tally.of(row.ours))])


def _line(tally: Tally, row: Row) -> str:
    runs = str(len(tally.of(row.ours)))
    ratio = ""
    if row.theirs and tally.of(row.theirs):
        runs += f" / {len(tally.of(row.theirs))}"
        found = tally.ratio(row.theirs, row.ours) if row.inverse else tally.ratio(row.ours, row.theirs)
        ratio = f"**{found:.1f} x faster**" if row.inverse else f"**{found:.2f} x**"
    times = (_spread(tally, row.ours, row.unit), _spread(tally, row.theirs, row.unit))
    return (
        f"| {' | '.join(cell or '-' for cell in (row.what.replace('|', CELL), *times, ratio, row.target, runs))} |"
    )


def _spread(tally: Tally, name: str, unit: str) -> str:
    found = tally.of(name)
    if not found:
        return ""
    factor, digits = (1000, 0) if unit == "ms" else (1, 0 if unit in WHOLE else 2)
    low, middle, high = (f"{factor * value:.{digits}f}" for value in (min(found), median(found), max(found)))
    return f"{middle} {unit}" if low == high else f"{middle} {unit} ({low} to {high})"

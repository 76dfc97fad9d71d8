"""Sizes, speeds and captions of the backup's bench: reckoning alone, nothing is touched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from compose.stack.errors import Refused

MB = 10**6
UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
ROW = 248
"""Bytes that a row of `insert` takes in a table, measured."""
HASHED = 48 * 1024**2
"""Bytes of the small tables: below the limit up to which a fingerprint hashes them."""
SMALL_TABLES = 8
_TEXT = (
    "SELECT i AS id, now() - i * interval '1 s' AS at, md5((i % 1000)::text) AS who, 'event ' || i % 50 AS what, "
    "md5(i::text) || ' the quick brown fox jumps ' || md5((i * 3)::text) "
    "|| repeat(' lorem ipsum', 4) || i AS body FROM generate_series({first}::bigint, {last}) AS i"
)


def parse_size(text: str) -> int:
    """Bytes of `2G`, `500M`, `4096`.

    Raises:
        Refused: It is no size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not found or float(found[1]) <= 0:
        raise Refused("is no size such as 2G or 500M", where=text)
    return int(float(found[1]) * UNITS[found[2].upper()])


@dataclass(frozen=True)
class Table:
    """A table to be made.

    Args:
        first, last: Numbers of its rows.
    """

    name: str
    first: int
    last: int

    @property
    def sql(self) -> str:
        """Make and fill it; in one transaction, so that it passes by the log."""
        return f"CREATE TABLE {self.name} AS {_TEXT.format(first=self.first, last=self.last)}"


def tables(size: int) -> tuple[Table, ...]:
    """Tables that take so many bytes together: one big one, and small ones that a fingerprint hashes.

    Args:
        size: Bytes.
    """
    small = HASHED if size >= 2 * SMALL_TABLES * HASHED else size // (4 * SMALL_TABLES)
    each = max(1, small // ROW)
    rest = max(1, size // ROW - SMALL_TABLES * each)
    made = [Table(f"orders_{n}", n * each + 1, (n + 1) * each) for n in range(SMALL_TABLES)]
    return (Table("events", 10**9 + 1, 10**9 + rest), *made)


def speed(size: int, seconds: float) -> float:
    """Megabytes per second; 0 for no time at all."""
    return size / MB / seconds if seconds > 0 else 0.0


def lower(one: Sequence[float], other: Sequence[float]) -> list[float]:
    """The lower of two speeds, pair by pair."""
    return [min(pair) for pair in zip(one, other, strict=False)]


def in_turn(count: int, index: int) -> tuple[int, ...]:
    """The order in which things are measured in one pair: forwards and backwards in turn.

    Args:
        count: How many things.
        index: Number of the pair, from 0.
    """
    order = tuple(range(count))
    return order if index % 2 == 0 else order[::-1]


def over_idle(idle: Sequence[int], busy: Sequence[int]) -> int:
    """What the highest sample of a busy process lies above the highest of an idle one."""
    return max(busy) - max(idle)


def caption(loads: Sequence[float], cores: int, disk: str, notes: Sequence[str] = ()) -> str:
    """What else has to be known about the machine.

    Args:
        loads: One-minute load at the beginning of each pair.
    """
    said = f"{min(loads):.1f} to {max(loads):.1f} (median {median(loads):.1f})" if loads else "not known"
    return " ".join((f"{cores} cores, load of the machine before each pair {said}; {disk}.", *notes))

"""How big the parts of an upload are, so that no stream ever meets the limits of S3 on its way."""

from __future__ import annotations

from compose.stack.errors import Refused

MIB = 1024**2
SMALLEST = 8 * MIB
"""Bytes; S3 asks for 5 MiB at least of every part but the last."""
BIGGEST_PART = 5 * 1024 * MIB
BIGGEST_OBJECT = 5 * 1024 * 1024 * MIB
MOST_PARTS = 10_000
PLANNED_PARTS = 9_000
_LONGER_BY = 1.5
_EVEN_PARTS = int(PLANNED_PARTS / _LONGER_BY)
_DOUBLED_EVERY = 400


def part_size(estimate: int) -> int:
    """Bytes of each part, so that half as much again as the estimate fits into 9,000 parts.

    Args:
        estimate: Bytes of the whole object; 0 when nobody knows.

    Raises:
        Refused: No object can be that big.
    """
    if estimate > BIGGEST_OBJECT:
        raise Refused(
            f"an object of {estimate} bytes is more than S3 takes ({BIGGEST_OBJECT})",
            next="save it as several components",
        )
    longer = -(-max(estimate, 0) * 3 // 2)
    needed = -(-longer // PLANNED_PARTS)
    return min(max(SMALLEST, -(-needed // MIB) * MIB), BIGGEST_PART)


def next_part_size(number: int, size: int) -> int:
    """Bytes of one part; they grow once a stream is longer than was estimated.

    The estimate itself fits into 6,000 parts, so these stay even. Then the size doubles every 400 parts: part
    10,000 lies beyond 5 TiB even for a stream that nobody estimated.

    Args:
        number: The part's number; the first is 1.
        size: Bytes of the part before it; of itself for the first.

    Raises:
        Refused: There is no such part.
    """
    if not 1 <= number <= MOST_PARTS:
        raise Refused(f"S3 takes {MOST_PARTS} parts, and none numbered {number}")
    over = number - 1 - _EVEN_PARTS
    grows = over >= 0 and over % _DOUBLED_EVERY == 0
    return min(size * 2, BIGGEST_PART) if grows else size

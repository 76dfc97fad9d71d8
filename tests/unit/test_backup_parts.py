"""Sizes of parts: no object of up to 5 TiB meets the limits of S3 on its way."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.backup.parts import (
    BIGGEST_OBJECT,
    BIGGEST_PART,
    MIB,
    MOST_PARTS,
    PLANNED_PARTS,
    SMALLEST,
    next_part_size,
    part_size,
)
from compose.stack.errors import Refused

ESTIMATES = st.integers(0, BIGGEST_OBJECT)


@given(ESTIMATES)
def test_half_as_much_again_fits_into_9000_parts(estimate: int) -> None:
    """In whole MiB, 8 of them at least, and never more than a part may have."""
    size = part_size(estimate)
    assert SMALLEST <= size <= BIGGEST_PART
    assert size % MIB == 0
    assert size * PLANNED_PARTS >= estimate * 1.5


@given(ESTIMATES, st.integers(1, BIGGEST_OBJECT))
def test_any_stream_fits_whatever_the_estimate(estimate: int, length: int) -> None:
    """Parts grow, so that part 10,000 is never passed and no part is too big or too small."""
    size, left = part_size(estimate), length
    for number in range(1, MOST_PARTS + 1):
        before, size = size, next_part_size(number, size)
        assert before <= size <= BIGGEST_PART
        left -= size
        if left <= 0:
            return
    raise AssertionError(f"{left} bytes are left after {MOST_PARTS} parts")


@given(ESTIMATES)
def test_parts_stay_even_up_to_the_estimate(estimate: int) -> None:
    """So that memory is what was planned, and servers that want even parts are content."""
    size = part_size(estimate)
    for number in range(1, -(-estimate // size) + 1):
        assert next_part_size(number, size) == size


def test_known_sizes() -> None:
    """Figures that a person can check."""
    assert part_size(0) == part_size(40 * 1024 * MIB) == 8 * MIB
    assert part_size(100 * 1024 * MIB) == 18 * MIB
    assert part_size(BIGGEST_OBJECT) == 874 * MIB
    assert [next_part_size(number, 8) for number in (1, 6000, 6001, 6002, 6401)] == [8, 8, 16, 8, 16]


def test_what_s3_cannot_take_is_refused() -> None:
    """At the plan, not on the way."""
    with pytest.raises(Refused, match="more than S3 takes"):
        part_size(BIGGEST_OBJECT + 1)
    for number in (0, 10_001):
        with pytest.raises(Refused):
            next_part_size(number, 8 * MIB)

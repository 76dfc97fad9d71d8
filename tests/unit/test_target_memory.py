"""The one budget of memory for all parts: bounded, fair, and nobody waits for ever."""

from __future__ import annotations

import threading
from pathlib import Path
from threading import Event

import pytest

from blocks.targets.memory import Budget, Lease
from blocks.targets.part import Cancelled, Part
from tests.prefect_lab import until


class Taker:
    """Takes memory from a thread of its own."""

    def __init__(self, budget: Budget, size: int) -> None:
        self.got: list[Lease | None] = []
        self.thread = threading.Thread(target=lambda: self.got.append(budget.take(size)), daemon=True)
        before = len(budget._queue)
        self.thread.start()
        until(lambda: bool(self.got) or len(budget._queue) > before, 5, "it waits")


def took(budget: Budget, size: int) -> Lease:
    lease = budget.take(size)
    assert lease is not None
    return lease


def test_it_gives_what_there_is() -> None:
    """Up to its limit, and again what came back; giving back twice counts once."""
    budget = Budget(10)
    first = took(budget, 6)
    took(budget, 4)
    first.moving()
    first.release()
    first.release()
    assert (budget.held, budget.on_their_way) == (4, 0)
    took(budget, 6)


def test_who_waits_waits_for_what_is_being_sent() -> None:
    """It comes back by itself."""
    budget = Budget(10)
    lease = took(budget, 10)
    lease.moving()
    taker = Taker(budget, 5)
    assert not taker.got
    lease.release()
    taker.thread.join(5)
    assert taker.got[0] is not None


def test_nobody_waits_for_what_is_being_filled() -> None:
    """It may hang on the one that waits: both would hang for ever."""
    budget = Budget(10)
    took(budget, 10)
    assert budget.take(1) is None


def test_a_part_larger_than_the_budget_is_taken_alone() -> None:
    """When nothing else is held, and nothing else is given meanwhile."""
    budget = Budget(10)
    small = took(budget, 1)
    small.moving()
    taker = Taker(budget, 50)
    assert not taker.got
    small.release()
    taker.thread.join(5)
    assert taker.got[0] is not None
    assert budget.take(1) is None


def test_first_come_first_served() -> None:
    """Small ones do not overtake a big one that waits."""
    budget = Budget(10)
    first, second = took(budget, 5), took(budget, 5)
    first.moving()
    second.moving()
    big = Taker(budget, 8)
    small = Taker(budget, 1)
    first.release()
    assert not big.got
    assert not small.got
    second.release()
    big.thread.join(5)
    small.thread.join(5)
    assert big.got[0]
    assert small.got[0]


@pytest.mark.parametrize(("limit", "in_memory"), [(100, True), (5, False)])
def test_a_part_lies_in_memory_or_in_a_file(tmp_path: Path, limit: int, in_memory: bool) -> None:
    """Where the budget is too small; either way it can be read again and again, and leaves nothing."""
    budget = Budget(limit)
    part = Part(1, 10, budget, tmp_path)
    assert part.in_memory is in_memory
    assert part.write(memoryview(b"01234")) == 5
    assert part.write(memoryview(b"56789ab")) == 5
    assert part.full
    body = part.body(Event())
    for _ in range(2):
        body.seek(0)
        assert [body.read(4), body.read(4), body.read(4), body.read(4)] == [b"0123", b"4567", b"89", b""]
    part.close()
    part.close()
    assert budget.held == 0
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_nobody_wants_ends() -> None:
    """With what no client takes for a broken connection, to be tried again."""
    cancelled = Event()
    part = Part(1, 10, Budget(10))
    part.write(memoryview(b"x"))
    body = part.body(cancelled)
    cancelled.set()
    with pytest.raises(Cancelled):
        body.read(1)
    assert not issubclass(Cancelled, Exception)
    part.close()

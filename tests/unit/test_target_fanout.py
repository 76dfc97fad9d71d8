"""One stream to several targets: one that fails does not stop the others."""

from __future__ import annotations

import random
import threading
from threading import Event

import pytest

from blocks.targets.fanout import DEPTH, PIECE, FanOut
from compose.stack.errors import Failed
from tests.fakes.memory_target import MemoryTarget, MemoryUpload
from tests.prefect_lab import until


class Breaking(MemoryUpload):
    """Fails at some point."""

    def __init__(self, target: MemoryTarget, after: int, error: BaseException | None = None) -> None:
        super().__init__(target, "k")
        self.left, self.error = after, error or Failed("the disk is gone")

    def write(self, data: bytes | memoryview) -> None:
        """Fails when it has taken enough."""
        self.left -= len(data)
        if self.left < 0:
            raise self.error
        super().write(data)

    def commit(self) -> None:
        """Fails when that was asked for."""
        if self.left == 0:
            raise self.error
        super().commit()


def flood(fan: FanOut) -> None:
    for _ in range(100):
        fan.write(b"x" * PIECE)


def test_all_get_the_same_bytes() -> None:
    """Also when the caller uses its buffer again."""
    targets = {name: MemoryTarget(name) for name in "abc"}
    fan = FanOut({name: target.begin("k") for name, target in targets.items()})
    data = random.Random(1).randbytes(5 * PIECE + 7)
    buffer = bytearray(700_000)
    for at in range(0, len(data), len(buffer)):
        piece = data[at : at + len(buffer)]
        buffer[: len(piece)] = piece
        fan.write(memoryview(buffer)[: len(piece)])
    assert fan.commit() == {"a": None, "b": None, "c": None}
    assert all(b"".join(target.read("k")) == data for target in targets.values())


@pytest.mark.parametrize("after", [0, 1, 3 * PIECE, 10 * PIECE])
def test_one_that_fails_is_dropped(after: int) -> None:
    """At its first write, later, or at commit; it is aborted, and the others do not notice."""
    good, bad = MemoryTarget(), MemoryTarget()
    fan = FanOut({"good": good.begin("k"), "bad": Breaking(bad, after)})
    for _ in range(10):
        fan.write(b"x" * PIECE)
    result = fan.commit()
    assert result["good"] is None
    assert str(result["bad"]) == "the disk is gone"
    assert good.size("k") == 10 * PIECE
    assert (bad.objects, bad.uploads) == ({}, [])


def test_when_all_fail_it_fails() -> None:
    """The producer hears of it at a later write, and the error tells of each."""
    target = MemoryTarget()
    fan = FanOut({"a": Breaking(target, 0), "b": Breaking(target, PIECE)})
    with pytest.raises(Failed, match="a: the disk is gone; b: the disk is gone"):
        flood(fan)
    with pytest.raises(Failed):
        fan.commit()
    fan.abort()
    assert target.uploads == []


def test_abort_ends_all() -> None:
    """Twice too, and after commit it does nothing; no thread stays."""
    threads = threading.active_count()
    target = MemoryTarget()
    fan = FanOut({"a": target.begin("k"), "b": target.begin("l")})
    fan.write(b"x")
    fan.abort()
    fan.abort()
    assert (target.objects, target.uploads) == ({}, [])
    with pytest.raises(Failed):
        fan.write(b"x")
    fan = FanOut({"a": target.begin("k")})
    fan.commit()
    fan.abort()
    assert target.size("k") == 0
    assert threading.active_count() == threads


def test_no_more_waits_than_a_few_pieces() -> None:
    """A slow target sets the pace, whatever the producer has."""
    release, taken = Event(), []

    class Slow(MemoryUpload):
        def write(self, data: bytes | memoryview) -> None:
            release.wait(10)
            taken.append(len(data))

    fan = FanOut({"slow": Slow(MemoryTarget(), "k")})
    sent: list[int] = []

    def produce() -> None:
        for _ in range(10):
            fan.write(b"x" * PIECE)
            sent.append(PIECE)

    producer = threading.Thread(target=produce)
    producer.start()
    until(lambda: len(sent) == DEPTH + 1, 5, "the queue is full")
    producer.join(0.2)
    assert len(sent) == DEPTH + 1
    release.set()
    producer.join(10)
    fan.abort()
    assert sum(taken) == 10 * PIECE


def test_what_is_no_error_of_ours_is_raised() -> None:
    """A fault in the program is not a target that failed."""
    fan = FanOut({"a": Breaking(MemoryTarget(), 0, ZeroDivisionError()), "b": MemoryTarget().begin("k")})
    with pytest.raises(ZeroDivisionError):
        flood(fan)
    fan.abort()

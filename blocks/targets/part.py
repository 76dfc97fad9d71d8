"""The bytes of one part: filled by one thread, read by another that sends them, again when it must."""

from __future__ import annotations

import io
import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from blocks.targets.memory import Budget, Lease


class Cancelled(BaseException):
    """The body of a request is wanted no more; no `Exception`, so that no client sends it again."""


class Window(io.RawIOBase):
    """A stretch of bytes as a file that can be read any number of times.

    Args:
        fill: Copies bytes from an offset into a buffer and says how many.
        length: Bytes.
        cancelled: Set when nobody wants them any more.
    """

    def __init__(self, fill: Callable[[int, memoryview], int], length: int, cancelled: Event) -> None:
        self._fill, self._length, self._cancelled, self._at = fill, length, cancelled, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Copy what comes next.

        Raises:
            Cancelled: Nobody wants it.
        """
        if self._cancelled.is_set():
            raise Cancelled
        with memoryview(buffer).cast("B") as view:
            wanted = min(len(view), self._length - self._at)
            copied = self._fill(self._at, view[:wanted]) if wanted > 0 else 0
        self._at += copied
        return copied


def file_window(handle: int, start: int, length: int, cancelled: Event) -> Window:
    """A stretch of an open file.

    Args:
        handle: Its descriptor; its position is not used.
    """
    return Window(lambda at, view: os.preadv(handle, [view], start + at), length, cancelled)


class Part:
    """One part while it is filled and sent: in memory where the budget allows, else in a temporary file.

    Args:
        number: The first is 1.
        size: Bytes that it takes.
    """

    def __init__(self, number: int, size: int, budget: Budget, spool: Path | None = None) -> None:
        self.number, self.size, self.filled = number, size, 0
        self._lease: Lease | None = budget.take(size) if size <= budget.limit else None
        self._memory = mmap.mmap(-1, size) if self._lease else None
        self._file = None if self._lease else tempfile.TemporaryFile(buffering=0, dir=spool)  # noqa: SIM115 closed below

    @property
    def in_memory(self) -> bool:
        """Whether it lies in memory."""
        return self._memory is not None

    @property
    def full(self) -> bool:
        """Whether it takes no more."""
        return self.filled == self.size

    def write(self, data: memoryview) -> int:
        """Append what fits; say how many bytes that were."""
        piece = data[: self.size - self.filled]
        if self._memory is not None:
            self._memory[self.filled : self.filled + len(piece)] = piece
            written = len(piece)
        else:
            assert self._file is not None
            written = self._file.write(piece)
        self.filled += written
        return written

    def body(self, cancelled: Event) -> Window:
        """What was filled; from now on it only goes out."""
        if self._lease:
            self._lease.moving()
        if self._file is not None:
            return file_window(self._file.fileno(), 0, self.filled, cancelled)
        return Window(self._copy, self.filled, cancelled)

    def close(self) -> None:
        """Give its memory back; safe to call twice."""
        if self._memory is not None:
            self._memory.close()
        if self._file is not None:
            self._file.close()
        if self._lease:
            self._lease.release()

    def _copy(self, at: int, view: memoryview) -> int:
        assert self._memory is not None
        with memoryview(self._memory) as memory:
            view[:] = memory[at : at + len(view)]
        return len(view)

"""A bounded pipe between two threads of this process."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

LIMIT = 2 * 1024 * 1024
"""Bytes that may wait in it."""


class Broken(Exception):
    """The other end has gone."""


class Pipe:
    """Bytes go in at one end and come out at the other; neither end waits for one that has gone.

    Args:
        limit: Bytes that may wait in it.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit, self._waiting = limit, 0
        self._chunks: deque[bytes] = deque()
        self._turn = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self._view, self._at = b"", 0

    def write(self, data: bytes) -> int:
        """Append bytes; waits while the pipe is full.

        Raises:
            Broken: Nobody will read them.
        """
        with self._turn:
            self._turn.wait_for(lambda: self._error is not None or self._waiting < self._limit)
            if self._error is not None:
                raise Broken from self._error
            if data:
                self._chunks.append(data)
                self._waiting += len(data)
                self._turn.notify_all()
        return len(data)

    def flush(self) -> None:
        """Nothing to do: what was written can be read at once."""

    def end(self) -> None:
        """No more bytes come."""
        with self._turn:
            self._ended = True
            self._turn.notify_all()

    def fail(self, error: BaseException) -> None:
        """Break it: either end is told at once, what waits is dropped."""
        with self._turn:
            self._error = self._error or error
            self._chunks.clear()
            self._turn.notify_all()

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`; empty at the end.

        Raises:
            Broken: The end will never come.
        """
        if self._at >= len(self._view):
            self._view, self._at = self._next(), 0
        end = len(self._view) if size < 0 else min(len(self._view), self._at + size)
        found = self._view[self._at : end]
        self._at = end
        return found

    def chunks(self) -> Iterator[bytes]:
        """Everything, as it was written."""
        while chunk := self._next():
            yield chunk

    def _next(self) -> bytes:
        with self._turn:
            self._turn.wait_for(lambda: bool(self._chunks) or self._ended or self._error is not None)
            if self._error is not None:
                raise Broken from self._error
            if not self._chunks:
                return b""
            chunk = self._chunks.popleft()
            self._waiting -= len(chunk)
            self._turn.notify_all()
            return chunk

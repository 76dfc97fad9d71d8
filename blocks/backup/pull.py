"""Chunks as something with a `read`, for libraries that pull."""

from __future__ import annotations

from collections.abc import Iterator


class Pull:
    """Reads chunks, copying no more than asked.

    Args:
        chunks: Bytes in order.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._view, self._at = chunks, b"", 0

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size` and perhaps fewer; empty at the end."""
        while self._at >= len(self._view):
            try:
                self._view, self._at = next(self._chunks), 0
            except StopIteration:
                return b""
        end = len(self._view) if size < 0 else min(len(self._view), self._at + size)
        found = self._view[self._at : end]
        self._at = end
        return found

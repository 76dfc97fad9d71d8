"""The end of a tar stream: Python's own reader takes a broken header, or none, for it."""

from __future__ import annotations

import tarfile
from typing import Protocol

from compose.stack.errors import Damaged

PORTION = 1024 * 1024


class Reader(Protocol):
    """A stream that is pulled."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, perhaps fewer; empty at the end."""


class Watched:
    """A tar stream on its way to `tarfile`: it remembers where its last byte lies that is not zero.

    Args:
        reader: The stream.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._count = self._last = 0

    def read(self, size: int) -> bytes:
        """The next bytes."""
        data = self._reader.read(size)
        if told := len(data.rstrip(b"\0")):
            self._last = self._count + told
        self._count += len(data)
        return data

    def require_end(self, archive: tarfile.TarFile) -> None:
        """Read what is left after the last member: two blocks of zeros at least, and nothing else.

        Args:
            archive: Reads this stream, and found no further member.

        Raises:
            Damaged: It is cut short, or a header in it is broken.
        """
        while self.read(PORTION):
            pass
        if self._last > archive.offset or self._count < archive.offset + 2 * tarfile.BLOCKSIZE:
            raise Damaged("the archive has no end: it is cut short, or a header in it is broken")

"""A file that goes into the pool: how it is read, and how one knows that it is still the same."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import zstandard

from blocks.backup.pool_index import Stamp
from compose.stack.errors import Failed

PIECE = 1024 * 1024
SAMPLE = 256 * 1024
WORTH = 0.9
"""A sample that shrinks to less than this is compressed."""
NO_FLUSH = {errno.EINVAL, errno.EROFS, errno.ENOSYS, errno.EOPNOTSUPP}
"""What file systems say that have nothing to write down."""
SETTLED = 40_000_000_000
"""Nanoseconds after which a changed file gets another time for sure, also where a file system has no `flush`:
Linux writes down within 35 s what lies in memory alone."""


@dataclass(frozen=True)
class Source:
    """One file.

    Args:
        name: Under which the index remembers it; the same file has the same name in every backup.
        size: Plain bytes; 0 where nobody knows before it was read.
        open: Reads it from the beginning, in chunks.
        sha256: Of its bytes, where known (a model's blob has it as its name); proven whenever it is read.
        address: What it is known by, where its bytes differ each time they are made (an image's id, 64 digits).
        stamp: How it looked; without one it is read in every backup.
        look: How it looks now.
        path: On this host, where it has one.
        ours: A copy of ours, which nobody else writes.
    """

    name: str
    size: int
    open: Callable[[], Iterator[bytes]]
    sha256: str = ""
    address: str = ""
    stamp: Stamp | None = None
    look: Callable[[], Stamp] | None = None
    path: Path | None = None
    ours: bool = False

    @classmethod
    def of(cls, path: Path, name: str = "", sha256: str = "", *, ours: bool = False) -> Source:
        """A local file.

        Args:
            name: Its path where empty.
            ours: A copy that nobody else writes.
        """
        stamp = Stamp.of(path)
        return cls(
            name=name or str(path), size=stamp.size, open=lambda: read_path(path), sha256=sha256, stamp=stamp,
            look=lambda: Stamp.of(path), path=path, ours=ours,
        )  # fmt: skip

    def flush(self) -> None:
        """Have what programs wrote through memory on the disk, before anything of it is read.

        A page that a program maps and has written can be written again without a new time, until the kernel has
        written it down: only then the next write shows in the stamp.

        Raises:
            Failed: It cannot be opened, or its disk fails.
        """
        if self.path is None or self.ours:
            return
        try:
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            if error.errno in NO_FLUSH:
                return
            raise Failed(f"cannot be read: {error.strerror}", where=self.name) from error

    def hashed(self) -> str:
        """Read it; its SHA-256.

        Raises:
            Failed: It changed meanwhile.
        """
        found = hashlib.sha256()
        for chunk in self.open():
            found.update(chunk)
        self.same()
        return found.hexdigest()

    def same(self) -> None:
        """See that it still looks as it did.

        Raises:
            Failed: It was changed.
        """
        try:
            changed = self.look is not None and self.look() != self.stamp
        except OSError as error:
            raise Failed(f"cannot be read: {error.strerror}", where=self.name) from error
        if changed:
            raise Failed("was changed while it was saved", where=self.name, next="stop what writes it, then again")

    @property
    def settled(self) -> bool:
        """True when a change from now on would show in its stamp."""
        return self.stamp is not None and time.time_ns() - self.stamp.ctime_ns > SETTLED

    def worth_compressing(self) -> bool:
        """Whether a sample of its beginning (and middle, where that costs nothing) shrinks."""
        sample = _sample(self.open())
        if self.path is not None and self.size > 4 * SAMPLE:
            with self.path.open("rb") as file:
                file.seek(self.size // 2)
                sample += file.read(SAMPLE)
        return len(zstandard.compress(sample, 3)) < len(sample) * WORTH


def read_path(path: Path) -> Iterator[bytes]:
    """A local file's bytes; a link is not followed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(handle, "rb", buffering=0) as file:
            while chunk := file.read(PIECE):
                yield chunk
    except OSError as error:
        raise Failed(f"cannot be read: {error.strerror}", where=str(path)) from error


def _sample(chunks: Iterator[bytes]) -> bytes:
    found = b""
    for chunk in chunks:
        found += chunk[:SAMPLE]
        if len(found) >= SAMPLE:
            break
    close = getattr(chunks, "close", None)
    if close:
        close()
    return found[:SAMPLE]

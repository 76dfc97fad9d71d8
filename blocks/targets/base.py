"""What every backup target can do."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

CHUNK = 256 * 1024
"""Bytes that are read at once."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One object on a target.

    Args:
        key: Posix path below the target's own place.
        size: Bytes.
        modified: When it was completed, by the target's clock; in UTC.
    """

    key: str
    size: int
    modified: datetime


class Upload(Protocol):
    """One object while it is written; nothing of it is visible before `commit`."""

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes; the caller may use the buffer again afterwards.

        Raises:
            Failed: The target takes no more; abort, and start the stream again.
        """

    def commit(self) -> None:
        """Make the object complete and durable under its key.

        Raises:
            Failed: It is not there, or what is stored differs in size.
        """

    def abort(self) -> None:
        """Leave nothing behind; does nothing after `commit` or a second time, and never raises."""


class Target(Protocol):
    """A place for backups, addressed by keys."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def place(self) -> str:
        """Where it is: a directory's path, or `s3://bucket/prefix`."""

    @property
    def origin(self) -> str:
        """The place with the server that has it: equal for equal places alone."""

    def begin(self, key: str, estimate: int = 0) -> Upload:
        """Start one object.

        Args:
            key: See `safe_key`.
            estimate: Bytes; 0 when nobody knows.
        """

    def put(self, key: str, data: bytes) -> None:
        """Write a small object at once."""

    def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Upload a local file, going on where an earlier attempt stopped.

        Args:
            path: A file that nobody changes meanwhile.
            sha256: Of the whole file, in hexadecimal.

        Raises:
            Failed: It is not that file, or was not taken; what arrived is used by the next attempt.
        """

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """An object's bytes in chunks of at most 1 MiB.

        Args:
            start: Of the first byte.
            length: Bytes; to the end when None.

        Raises:
            Failed: It is gone, or ends before all of them came.
        """

    def size(self, key: str) -> int | None:
        """Bytes of an object; None when there is none."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """All complete objects whose keys begin with a prefix, sorted by key."""

    def delete(self, key: str) -> None:
        """Remove an object; none there is fine.

        Raises:
            Refused: The credentials cannot delete.
        """

    def skew(self) -> float:
        """Seconds that the target's clock is ahead of ours."""

    def room(self) -> int | None:
        """Free bytes; None where nobody knows."""

    def sweep_uploads(self, older_than: datetime, prefix: str = "") -> builtins.list[str]:
        """Remove what dead runs left half-uploaded.

        Args:
            older_than: Aware; what anybody touched since then stays.
            prefix: Only keys that begin so.

        Returns:
            The keys that were being written.
        """

    def check(self) -> None:
        """Prove that the target can be written.

        Raises:
            Refused: It cannot, with what to do.
        """


@runtime_checkable
class TakesFiles(Protocol):
    """A target that can name an object when it has all of it: the file is read once, hashed on the way."""

    def take_file(self, path: Path, beside: str, key_of: Callable[[str], str], token: str) -> str:
        """Copy a local file under the key that its SHA-256 gives; that SHA-256, in hexadecimal.

        Args:
            path: A file that nobody changes meanwhile.
            beside: Key near which it lies until it has its own.
            key_of: The key for a SHA-256; when it raises, nothing of the file stays.
            token: 16 hexadecimal digits, the same for the same file, so that an attempt goes on where one stopped.

        Raises:
            Failed: It cannot be read, or was not taken; what arrived is used by the next attempt.
        """


@runtime_checkable
class KeepsFiles(Protocol):
    """A target whose objects are files of this host."""

    def local(self, key: str) -> Path:
        """Where an object lies, as it is stored; only to be read."""

"""A backup target in memory, for tests of what is built on targets."""

from __future__ import annotations

import builtins
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from blocks.targets.base import CHUNK, Entry
from compose.stack.backup.keys import safe_key
from compose.stack.errors import Failed


class MemoryUpload:
    """One object while it is written."""

    def __init__(self, target: MemoryTarget, key: str) -> None:
        self._target, self._key, self._data = target, key, bytearray()
        self.touched = target.now()
        target.uploads.append(self)

    @property
    def key(self) -> str:
        """Of the object."""
        return self._key

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes."""
        if self not in self._target.uploads:
            raise Failed("the upload has ended", where=self._key)
        self._data += data
        self.touched = self._target.now()

    def commit(self) -> None:
        """Make it visible."""
        if self not in self._target.uploads:
            raise Failed("the upload has ended", where=self._key)
        self._target.put(self._key, bytes(self._data))
        self._target.uploads.remove(self)

    def abort(self) -> None:
        """Forget it."""
        if self in self._target.uploads:
            self._target.uploads.remove(self)


class MemoryTarget:
    """Objects in a dictionary.

    Args:
        now: The clock.
        ahead: Seconds that its clock is ahead of ours.
    """

    def __init__(
        self, name: str = "memory", now: Callable[[], datetime] = lambda: datetime.now(UTC), ahead: float = 0.0
    ) -> None:
        self.name, self.now, self.ahead = name, now, ahead
        self.place = self.origin = f"memory:{name}"
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.uploads: builtins.list[MemoryUpload] = []

    def begin(self, key: str, estimate: int = 0) -> MemoryUpload:
        """Start one object."""
        return MemoryUpload(self, safe_key(key))

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        self.objects[safe_key(key)] = bytes(data), self.now()

    def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Write a file."""
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise Failed("its bytes are not those of the SHA-256 that was asked for", where=str(path))
        self.put(key, data)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """An object's bytes."""
        return self._read(safe_key(key), start, length)

    def _read(self, key: str, start: int, length: int | None) -> Iterator[bytes]:
        if key not in self.objects:
            raise Failed("is not there", where=key)
        data = self.objects[key][0]
        end = len(data) if length is None else start + length
        if max(start, end) > len(data):
            raise Failed(f"has {len(data)} bytes, not the {max(start, end)} that were asked for", where=key)
        for at in range(start, end, CHUNK):
            yield data[at : min(at + CHUNK, end)]

    def size(self, key: str) -> int | None:
        """Bytes of an object."""
        found = self.objects.get(safe_key(key))
        return len(found[0]) if found else None

    def list(self, prefix: str) -> Iterator[Entry]:
        """Objects whose keys begin with a prefix."""
        for key, (data, modified) in sorted(self.objects.items()):
            if key.startswith(prefix):
                yield Entry(key, len(data), modified)

    def delete(self, key: str) -> None:
        """Remove an object."""
        self.objects.pop(safe_key(key), None)

    def skew(self) -> float:
        """As it was told."""
        return self.ahead

    def room(self) -> int | None:
        """Nobody knows."""
        return None

    def sweep_uploads(self, older_than: datetime, prefix: str = "") -> builtins.list[str]:
        """Forget uploads that nobody touched since."""
        dead = [upload for upload in self.uploads if upload.key.startswith(prefix) and upload.touched < older_than]
        for upload in dead:
            upload.abort()
        return sorted(upload.key for upload in dead)

    def check(self) -> None:
        """Always fine."""

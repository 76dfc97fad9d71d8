"""Files of a backup, kept in memory: what a procedure wrote, with the records that the real writer would make."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from compose.stack.backup.manifest import Digest, Encoding, FileRecord
from compose.stack.errors import Refused


@dataclass
class MemorySink:
    """One file while it is written."""

    keep: bool = True
    record: FileRecord | None = None
    data: bytearray = field(default_factory=bytearray)
    size: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def write(self, data: bytes | memoryview) -> None:
        """Take the next plain bytes."""
        self.size += len(data)
        self.digest.update(data)
        if self.keep:
            self.data += data


@dataclass
class MemoryFiles:
    """Obeys `tasks.backup.procedure.Files`.

    Args:
        sealed: Whether it says that what is written is encrypted.
        keep: Keep what is written; else only count and hash it.
    """

    sealed: bool = True
    keep: bool = True
    plain: dict[str, bytes] = field(default_factory=dict)
    records: dict[str, FileRecord] = field(default_factory=dict)
    begun: list[str] = field(default_factory=list)

    @contextmanager
    def file(
        self, path: str, *, estimate: int = 0, secret: bool = False, compress: bool = True, clear: bool = False
    ) -> Iterator[MemorySink]:
        """Write one file; nothing is kept of it when the block raises."""
        if secret and (clear or not self.sealed):
            raise Refused("a secret does not lie in clear", where=path)
        if path in self.begun:
            raise Refused("written twice", where=path)
        self.begun.append(path)
        sink = MemorySink(self.keep)
        try:
            yield sink
        except BaseException:
            self.begun.remove(path)
            raise
        encodings: tuple[Encoding, ...] = ("zstd",) if compress else ()
        if self.sealed and not clear:
            encodings += ("age",)
        ending = "".join({"zstd": ".zst", "age": ".age"}[one] for one in encodings)
        digest = Digest(sha256=sink.digest.hexdigest(), bytes=sink.size)
        sink.record = FileRecord(
            path=path + ending, plain=digest, stored=digest, encodings=encodings, secret=secret
        )
        self.records[path] = sink.record
        self.plain[path] = bytes(sink.data)

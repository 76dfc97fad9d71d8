"""The pooled files of one component: put one after the other, then listed in the backup."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from blocks.backup.pool import PoolWriter
from blocks.backup.source import Source
from compose.stack.backup.listing import Blob, Filed, line_of
from compose.stack.backup.manifest import FileRecord, PoolRecord
from compose.stack.errors import Failed


class _Sink(Protocol):
    @property
    def record(self) -> FileRecord | None: ...

    def write(self, data: bytes | memoryview) -> None: ...


class Files(Protocol):
    """As procedures are given it."""

    def file(
        self, path: str, *, estimate: int = 0, secret: bool = False, compress: bool = True, clear: bool = False
    ) -> AbstractContextManager[_Sink]:
        """Write one file."""


class PoolSet:
    """What one component has in the pool.

    Args:
        pool: See `PoolWriter`.
        files: Where the lists are written.
        name: Directory of the lists in the backup: `ollama/files.jsonl` and `ollama/blobs.jsonl`.
    """

    def __init__(self, pool: PoolWriter, files: Files, name: str) -> None:
        self._pool, self._files, self._name = pool, files, name
        self._filed: list[Filed] = []
        self._blobs: dict[str, Blob] = {}
        self._bytes = self._new_blobs = self._new_bytes = 0

    def add(self, source: Source, filed: Filed, *, compress: bool | None = None) -> Filed:
        """Put a file; its line with size, hash and blob filled in.

        Args:
            filed: Path, mode, owner, time.
            compress: None: when a sample of it shrinks.
        """
        put = self._pool.put(source, compress=compress)
        if put.added and put.blob.key not in self._blobs:
            self._new_blobs += 1
            self._new_bytes += put.added
        self._blobs[put.blob.key] = put.blob
        update = {"size": put.plain.bytes, "sha256": put.plain.sha256, "blob": put.blob.key, "kind": "file"}
        done = filed.model_copy(update=update)
        self._bytes += put.plain.bytes
        self._filed.append(done)
        return done

    def note(self, filed: Filed) -> None:
        """List a directory or a link, which has no bytes."""
        self._filed.append(filed)

    def finish(self) -> PoolRecord:
        """Write both lists.

        Returns:
            What goes into the manifest.
        """
        listing = self._list("files.jsonl", [line_of(filed) for filed in self._filed], clear=False)
        blobs = self._list("blobs.jsonl", [line_of(self._blobs[key]) for key in sorted(self._blobs)], clear=True)
        return PoolRecord(
            listing=listing, blobs=blobs, files=sum(filed.kind == "file" for filed in self._filed),
            bytes=self._bytes, new_blobs=self._new_blobs, new_bytes=self._new_bytes,
        )  # fmt: skip

    def _list(self, name: str, lines: list[bytes], *, clear: bool) -> FileRecord:
        with self._files.file(f"{self._name}/{name}", estimate=sum(map(len, lines)), clear=clear) as sink:
            for line in lines:
                sink.write(line)
        if sink.record is None:
            raise Failed("was not written to its end", where=f"{self._name}/{name}")
        return sink.record

"""Big directories file by file into the pool: what did not change is neither read nor copied again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blocks.backup.pool_index import Stamp
from blocks.backup.source import Source as PoolSource
from blocks.backup.spool import remove_tree, require_room
from blocks.backup.trees import LocalTree
from compose.stack.backup.archive_format import Entry, Totals, index_line
from compose.stack.backup.component import Manner
from compose.stack.backup.listing import Blob, Filed, line_of
from compose.stack.backup.manifest import FileRecord, PoolRecord
from compose.stack.errors import Failed, OpsError, Refused
from tasks.backup.pouring import stored
from tasks.backup.procedure import Saved, Saving
from tasks.backup.sources import Source, sources_of

BIG = 5 * 1024**3
"""Bytes from which a directory goes into the pool where nothing else is said."""
TRIES = 3


def wants_pool(saving: Saving) -> bool:
    """Whether a component's files go one by one into the pool: as told, else by size."""
    told = saving.component.options.get("pool")
    if saving.pool is None or told is False:
        return False
    sources = sources_of(saving.work.engine, saving.component)
    if len(sources) != 1 or sources[0].path is None or not sources[0].path.is_dir():
        return False
    measure = sources[0].measure()
    return bool(told) or (measure is not None and measure.bytes >= BIG)


@dataclass
class Listing:
    """The two lists of a component: its files, and the blobs that hold them.

    Args:
        new_bytes: Stored bytes that this backup added.
    """

    totals: Totals = field(default_factory=Totals)
    files: list[bytes] = field(default_factory=list)
    blobs: dict[str, Blob] = field(default_factory=dict)
    new_blobs: int = 0
    new_bytes: int = 0

    def add(self, entry: Entry, put: Any = None) -> None:
        """One entry; a file with what the pool said of it."""
        sha256 = put.plain.sha256 if put else None
        filed = Filed(
            path=entry.path, kind=entry.kind, mode=entry.mode, uid=entry.uid, gid=entry.gid, mtime=entry.mtime,
            size=entry.size, sha256=sha256, blob=put.blob.key if put else None, link=entry.link or None,
        )  # fmt: skip
        self.files.append(line_of(filed))
        self.totals.add(entry, index_line(entry, sha256 or ""))
        if put:
            self.new_blobs += put.blob.key not in self.blobs and put.added > 0
            self.new_bytes += put.added
            self.blobs[put.blob.key] = put.blob

    def write(self, saving: Saving, written: dict[str, FileRecord]) -> PoolRecord:
        """Write both lists; what an earlier try has written stays."""
        name = saving.component.name
        lists = {
            f"{name}/files.jsonl": (self.files, False),
            f"{name}/blobs.jsonl": ([line_of(blob) for blob in self.blobs.values()], True),
        }
        for path, (lines, clear) in lists.items():
            if path in written:
                continue
            with saving.files.file(path, estimate=sum(map(len, lines)), clear=clear) as sink:
                for line in lines:
                    sink.write(line)
            written[path] = stored(sink, path)
        listing, blobs = (written[path] for path in lists)
        return PoolRecord(
            listing=listing, blobs=blobs, files=self.totals.files, bytes=self.totals.size,
            new_blobs=self.new_blobs, new_bytes=self.new_bytes,
        )  # fmt: skip


class PooledProcedure:
    """Obeys `tasks.backup.procedure.Procedure`.

    What stands still for its copy is put into the pool while it still runs; then it is stopped, and only what
    changed since is copied. So downtime follows what changed, not what there is.
    """

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.live = saving.component.manner is Manner.LIVE
        self.source: Source | None = None
        self.root = Path()
        self.moment: datetime | None = None
        self.downtime: float | None = None
        self._early: dict[str, tuple[Stamp, Any]] = {}
        self._entries: list[tuple[Entry, Path | None]] = []
        self._skipped = 0
        self._written: dict[str, FileRecord] = {}
        self._listed: Listing | None = None

    def open(self) -> None:
        """See `Procedure`."""
        saving = self.saving
        self._find()
        if self.live:
            self.moment = datetime.now(UTC)
            return
        self.early()
        assert self.source is not None
        require_room(saving.spool, self._changed_bytes(), saving.component.name)
        with saving.stopping.stopped(saving.component.services, f"{saving.component.name} is copied") as downtime:
            self.moment = downtime.stopped_at or datetime.now(UTC)
            self.source.require_same()
            for entry, path in self._walk():
                downtime.check()
                self._entries.append(
                    (entry, self._copied(path) if path and not self._known(entry, path) else None)
                )
        self.downtime = downtime.seconds

    def save(self) -> Saved:
        """See `Procedure`; again after a failure only the lists are written that are not yet there."""
        listing = self._listed = self._listed or self._put_all()
        return Saved(
            tool="pool", tool_version="1", pool=listing.write(self.saving, self._written),
            fingerprint=listing.totals.fingerprint(), moment=self.moment, downtime=self.downtime,
            checked=self.saving.verify,  # no tool reads single files: each blob's hash is all that there is
            notes=listing.totals.notes(),
        )  # fmt: skip

    def _put_all(self) -> Listing:
        listing = Listing()
        changed: list[str] = []
        for entry, copy in self._walk() if self.live else self._entries:
            if entry.kind != "file":
                listing.add(entry)
            elif self.live and copy:
                made, put = self._put_living(entry, copy, changed)
                listing.add(made, put)
            elif copy:
                listing.add(entry, self._put(entry, copy, ours=True))
            else:
                listing.add(entry, self._early[entry.path][1])
        listing.totals.skipped = self._skipped
        listing.totals.changed = changed
        return listing

    def close(self) -> None:
        """See `Procedure`."""
        remove_tree(self.saving.spool / "copies")
        self._entries.clear()
        self._early.clear()

    def _find(self) -> None:
        """Its directory, once: as it was before anybody stopped."""
        if self.source is not None:
            return
        (source,) = sources_of(self.saving.work.engine, self.saving.component)
        if source.path is None:
            where = self.saving.component.name
            raise Failed("its directory is not on this host", where=where, next="x-ops.backup.pool: false")
        self.source, self.root = source, source.path

    def _walk(self) -> Iterator[tuple[Entry, Path | None]]:
        tree = LocalTree(self.root)
        for entry, _ in tree.walk():
            yield entry, self.root / entry.path if entry.kind == "file" else None
        self._skipped = len(tree.skipped)

    def early(self) -> None:
        """Put what looks at rest, while everything runs; may be called before `open`, once is enough.

        What is written just now is put again after the stop.
        """
        if self._early or self.live:
            return
        self._find()
        for entry, path in self._walk():
            if path is None:
                continue
            try:
                source = self._source(entry, path)
                if source.settled and source.stamp:
                    self._early[entry.path] = source.stamp, self.saving.pool.put(source)
                    self.saving.progress(entry.size)
            except Refused:
                raise
            except (Failed, OSError):
                continue

    def _changed_bytes(self) -> int:
        files = ((entry, path) for entry, path in self._walk() if path)
        return sum(entry.size for entry, path in files if not self._known(entry, path))

    def _known(self, entry: Entry, path: Path) -> bool:
        early = self._early.get(entry.path)
        try:
            return early is not None and Stamp.of(path) == early[0]
        except FileNotFoundError:
            return True  # gone again: it takes no room

    def _copied(self, path: Path) -> Path:
        place = self.saving.spool / "copies"
        place.mkdir(exist_ok=True, mode=0o700)
        to = place / str(len(self._entries))
        before = Stamp.of(path)
        with path.open("rb") as source, to.open("xb") as copy:
            left = os.fstat(source.fileno()).st_size
            while left > 0 and (done := os.copy_file_range(source.fileno(), copy.fileno(), left)):
                left -= done
        if not self.live and Stamp.of(path) != before:
            what = "was written while it was copied, although nothing should: who else writes it?"
            raise Failed(what, where=str(path), next="stop what writes it, or say x-ops.backup.live")
        return to

    def _put(self, entry: Entry, path: Path, *, ours: bool = False) -> Any:
        put = self.saving.pool.put(PoolSource.of(path, name=self._name(entry), ours=ours))
        self.saving.progress(entry.size)
        return put

    def _put_living(self, entry: Entry, path: Path, changed: list[str]) -> tuple[Entry, Any]:
        """A file that may be written meanwhile: as it lies, or else a copy of how it was at one reading."""
        for _ in range(TRIES):
            try:
                return entry, self._put(entry, path)
            except Refused:
                raise
            except OpsError:
                continue
        copy = self._copied(path)
        changed.append(entry.path)
        size = copy.stat().st_size
        made = Entry(entry.path, "file", entry.mode, entry.uid, entry.gid, entry.mtime, size)
        return made, self._put(made, copy, ours=True)

    def _source(self, entry: Entry, path: Path) -> PoolSource:
        return PoolSource.of(path, name=self._name(entry))

    def _name(self, entry: Entry) -> str:
        return f"{self.saving.component.name}:{self.root}/{entry.path}"

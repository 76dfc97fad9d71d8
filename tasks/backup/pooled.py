"""Big directories file by file into the pool: what did not change is neither read nor copied again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from blocks.backup.pool_index import Stamp
from blocks.backup.source import Source as PoolSource
from blocks.backup.spool import Check, copy_file, remove_tree, require_room
from blocks.backup.trees import LocalTree
from blocks.engine import Engine
from compose.stack.backup.archive_format import Entry, Totals, index_line
from compose.stack.backup.component import Component, Kind, Manner
from compose.stack.backup.listing import LONGEST, Blob, Filed, line_of
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
    return saving.pool is not None and goes_into_pool(saving.work.engine, saving.component)


def goes_into_pool(engine: Engine, component: Component, size: int | None = None) -> bool:
    """Whether a volume is saved file by file wherever there is a pool.

    Args:
        size: Its bytes where they are known: then it is not counted.
    """
    told = component.options.get("pool")
    if component.kind is not Kind.VOLUME or told is False or not (told or size is None or size >= BIG):
        return False
    sources = sources_of(engine, component)
    if len(sources) != 1 or sources[0].path is None or not sources[0].path.is_dir():
        return False
    measure = sources[0].measure() if not told and size is None else None
    return bool(told) or (measure.bytes if measure else size or 0) >= BIG


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
            xattrs=dict(entry.xattrs) or None,
        )  # fmt: skip
        line = line_of(filed)
        if len(line) > LONGEST:
            what = f"its attributes take {len(line)} bytes: more than {LONGEST} cannot be listed"
            raise Failed(what, where=entry.path, next="x-ops.backup.pool: false")
        self.files.append(line)
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
        self._numbers = count()
        self._check: Check = lambda: None
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
            self._check = downtime.check
            self.source.require_same()
            for entry, path in self._walk():
                downtime.check()
                self._entries.append(
                    (entry, None if path is None or self._known(entry, path) else self._copied(path))
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
        if self.live:
            self._put_living(listing)
        else:
            for entry, copy in self._entries:
                put = self._put(entry, copy, ours=True) if copy else None
                listing.add(entry, put or (self._early[entry.path][1] if entry.kind == "file" else None))
        listing.totals.skipped = self._skipped
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
            return False

    def _copied(self, path: Path) -> Path:
        place = self.saving.spool / "copies"
        place.mkdir(exist_ok=True, mode=0o700)
        to = place / str(next(self._numbers))
        try:
            before = Stamp.of(path)
            copy_file(path, to, self._check)
            same = Stamp.of(path) == before
        except FileNotFoundError:
            if self.live:
                raise
            same = False
        if not self.live and not same:
            what = "was written while it was copied, although nothing should: who else writes it?"
            raise Failed(what, where=str(path), next="stop what writes it, or say x-ops.backup.live")
        return to

    def _put(self, entry: Entry, path: Path, *, ours: bool = False) -> Any:
        put = self.saving.pool.put(PoolSource.of(path, name=self._name(entry), ours=ours))
        self.saving.progress(entry.size)
        return put

    def _put_living(self, listing: Listing) -> None:
        """Everything while it may be written; what is removed meanwhile is not in it."""
        gone: set[str] = set()
        for entry, path in self._walk():
            if entry.kind == "hardlink" and entry.link in gone:  # its bytes live on under this name
                path = self.root / entry.path
            try:
                listing.add(*(self._put_moving(entry, path, listing.totals) if path else (entry,)))
            except FileNotFoundError:
                gone.add(entry.path)

    def _put_moving(self, entry: Entry, path: Path, totals: Totals) -> tuple[Entry, Any]:
        """A file that may be written meanwhile: as it lies, or else a copy of how it was at one reading.

        Raises:
            FileNotFoundError: It is gone.
        """
        for _ in range(TRIES):
            try:
                put = self._put(entry, path)
                break
            except Refused:
                raise
            except OpsError:
                continue
        else:
            put = self._put(entry, self._copied(path), ours=True)
            totals.changed.append(entry.path)
        return replace(entry, kind="file", link="", size=put.plain.bytes), put

    def _source(self, entry: Entry, path: Path) -> PoolSource:
        return PoolSource.of(path, name=self._name(entry))

    def _name(self, entry: Entry) -> str:
        return f"{self.saving.component.name}:{self.root}/{entry.path}"

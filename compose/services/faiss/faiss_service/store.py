"""All indexes, in memory and on the disk: a write is answered once it cannot be lost any more."""

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from faiss_service import files
from faiss_service.errors import ApiError, Damaged
from faiss_service.gate import Gate
from faiss_service.records import Record, check_vectors, file_name, ids_for, parse

log = logging.getLogger("faiss")
Rows = Sequence[Sequence[float]]


class Engine(Protocol):
    """What can make, fill, search, write and read an index (see engine.py)."""

    def make(self, dimension: int, metric: str) -> Any:
        """Return an empty index."""

    def added(self, index: Any, metric: str, vectors: Rows, ids: Sequence[int]) -> Any:
        """Return a copy with these vectors in it."""

    def search(self, index: Any, metric: str, vectors: Rows, count: int) -> list[list[dict[str, float | int]]]:
        """Return the nearest ids with their scores for each vector."""

    def write(self, index: Any, path: Path) -> None:
        """Write an index to a file."""

    def read(self, path: Path) -> Any:
        """Read an index back, or raise Damaged."""


@dataclass(frozen=True)
class Held:
    """An index in memory with its record."""

    record: Record
    index: Any


class Store:
    """The indexes of one directory.

    Args:
        within: Seconds that a write waits for its turn.
        most: Vectors that one index may hold.
    """

    def __init__(self, directory: Path, engine: Engine, within: float, most: int) -> None:
        self.directory, self.engine, self.within, self.most = directory, engine, within, most
        self.gate = Gate()
        self.damaged: dict[str, str] = {}
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()
        self._begun: dict[str, int] = {}

    def load(self) -> None:
        """Read every index; one that is not as it was written is named in `damaged` and left as it is."""
        for path in sorted(self.directory.glob("*.json")):
            try:
                record = parse(path.read_text(encoding="utf-8"))
                if record.name != path.stem:
                    raise Damaged(f"its record is that of {record.name}")
                self._held[record.name] = Held(record, self._read(record))
            except (Damaged, OSError) as error:
                self.damaged[path.stem] = str(error)
                log.error("index %s: %s", path.stem, error)
        self._sweep()

    def all(self) -> list[Record]:
        """Return the records of all indexes, by name."""
        with self._lock:
            return [self._held[name].record for name in sorted(self._held)]

    def create(self, name: str, dimension: int, metric: str) -> tuple[Record, bool]:
        """Make an index; the one that is there when it is the same, 409 when it is another."""
        with self.gate.writing(self.within):
            if name in self.damaged:
                raise ApiError(409, f"index {name} is damaged: {self.damaged[name]}")
            known = self._held.get(name)
            if known is None:
                index = self.engine.make(dimension, metric)
                return self._keep(Record(name, dimension, metric, 0, 0, "", "", 0), index), True
            if (known.record.dimension, known.record.metric) != (dimension, metric):
                told = f"{known.record.dimension} dimensions and metric {known.record.metric}"
                raise ApiError(409, f"index {name} is there with {told}")
            return known.record, False

    def add(self, name: str, vectors: Rows, ids: Sequence[int] | None) -> tuple[Record, list[int]]:
        """Add vectors, or replace those whose id is there; the record after it, and the ids."""
        with self.gate.writing(self.within):
            held = self.get(name)
            record = held.record
            check_vectors(vectors, record.dimension)
            if record.ntotal + len(vectors) > self.most:
                raise ApiError(413, f"index {name} would hold more than {self.most} vectors (MAX_VECTORS)")
            named, next_id = ids_for(ids, len(vectors), record.next_id)
            index = self.engine.added(held.index, record.metric, vectors, named)
            return self._keep(replace(record, next_id=next_id), index), named

    def search(self, name: str, vectors: Rows, count: int) -> list[list[dict[str, float | int]]]:
        """Return the nearest ids with their scores for each vector."""
        held = self.get(name)
        check_vectors(vectors, held.record.dimension)
        most = min(count, held.record.ntotal)
        return self.engine.search(held.index, held.record.metric, vectors, most) if most else [[] for _ in vectors]

    def remove(self, name: str) -> None:
        """Remove an index, a damaged one too: its record first."""
        with self.gate.writing(self.within):
            if name not in self.damaged:
                self.get(name)
            (self.directory / f"{name}.json").unlink(missing_ok=True)
            files.flush_names(self.directory)
            with self._lock:
                self._held.pop(name, None)
            self.damaged.pop(name, None)
            for path in self.directory.glob(f"{name}.*.index"):
                path.unlink()

    def get(self, name: str) -> Held:
        """Return an index; 404 when there is none, 503 when it is damaged."""
        if name in self.damaged:
            raise ApiError(503, f"index {name} is damaged: {self.damaged[name]}")
        with self._lock:
            if name not in self._held:
                raise ApiError(404, f"there is no index {name}")
            return self._held[name]

    def _keep(self, record: Record, index: Any) -> Record:
        """Put an index on the disk, then in the place of the one in memory."""
        # Never the name of an earlier try: its record may have reached the disk though we saw an error.
        generation = max(record.generation, self._begun.get(record.name, 0)) + 1
        self._begun[record.name] = generation
        path = self.directory / file_name(record.name, generation)
        files.put(path, lambda beside: self.engine.write(index, beside))
        kept = replace(
            record, generation=generation, ntotal=int(index.ntotal), file=path.name, sha256=files.sha256(path)
        )
        # From here on the new file counts; until now the earlier one did.
        files.put(self.directory / f"{record.name}.json", lambda beside: _write_text(beside, kept.text()))
        with self._lock:
            self._held[record.name] = Held(kept, index)
        if record.file:
            (self.directory / record.file).unlink(missing_ok=True)
        return kept

    def _read(self, record: Record) -> Any:
        path = self.directory / record.file
        if not path.is_file():
            raise Damaged(f"{record.file} is not there")
        if files.sha256(path) != record.sha256:
            raise Damaged(f"{record.file} is not what was written")
        index = self.engine.read(path)
        if int(index.ntotal) != record.ntotal:
            raise Damaged(f"{record.file} has {index.ntotal} vectors instead of {record.ntotal}")
        return index

    def _sweep(self) -> None:
        """Remove what a write left behind that did not come to its end; nothing of a damaged index."""
        used = {held.record.file for held in self._held.values()}
        for path in self.directory.iterdir():
            name = path.name.split(".")[0]
            left = path.name.endswith(files.UNFINISHED) or (path.suffix == ".index" and path.name not in used)
            if left and name not in self.damaged:
                log.info("removing %s, left by a write that was cut short", path.name)
                path.unlink()


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")

"""Qdrant: one snapshot of each collection, fetched and deleted on the server, and the aliases."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from blocks.backup.snapshot_notes import SnapshotNotes
from blocks.stores.qdrant import Qdrant, Snapshot, qdrant
from compose.stack.backup import tools
from compose.stack.backup.manifest import FileRecord
from compose.stack.errors import Failed
from tasks.backup.beside import laid_together
from tasks.backup.content import content_check
from tasks.backup.pouring import pour, reached, save_bytes, stored
from tasks.backup.procedure import Saved, Saving
from tasks.backup.rest import save_rest

log = logging.getLogger("ops.backup")
DIRECTORY = "qdrant"
ALIASES = f"{DIRECTORY}/aliases.json"


class QdrantProcedure:
    """All snapshots first, then their bytes; what was made on the server is deleted whatever happens."""

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.server: Qdrant | None = None
        self.made: list[Snapshot] = []
        self.stay: list[Snapshot] = []
        self.notes = SnapshotNotes(saving.work.state)
        self.points: dict[str, tuple[int, int]] = {}
        self.aliases: list[dict[str, str]] = []
        self.moment: datetime | None = None

    def open(self) -> None:
        """Make a snapshot of every collection.

        Raises:
            Failed: The server refused one.
        """
        component = self.saving.component
        self.server = qdrant(self.saving.work.engine, component.container, component.options)
        self.moment = datetime.now(UTC)
        self.aliases = self.server.aliases()
        for name in self.server.collections():
            before = self.server.count(name)
            self.made.append(self.server.snapshot(name))
            self._note()
            self.points[name] = (before, self.server.count(name))

    def save(self) -> Saved:
        """Fetch and delete the snapshots.

        Raises:
            Failed: The bytes are not those that the server told of.
        """
        assert self.server is not None
        files = [save_bytes(self.saving, ALIASES, json.dumps(self.aliases, indent=1).encode())]
        collections: dict[str, Any] = {}
        found: dict[str, Any] = {}
        for snapshot in tuple(self.made):
            files.append(self._fetch(self.server, snapshot, found))
            self._delete(self.server, snapshot)
            before, after = self.points[snapshot.collection]
            collections[snapshot.collection] = {
                "file": _file(snapshot), "checksum": snapshot.checksum, "bytes": snapshot.size,
                "points_before": before, "points_after": after,
            }  # fmt: skip
        checked, unproven = reached(self.saving, found)
        rest = save_rest(self.saving)
        told = all(one["checksum"] for one in collections.values())
        return Saved(
            tool="qdrant snapshot",
            tool_version=self.server.version(),
            files=(*files, *rest.files),
            fingerprint={
                "collections": collections,
                "aliases": {one["alias_name"]: one["collection_name"] for one in self.aliases},
                "points": sum(after for _, after in self.points.values()),
                **rest.fingerprint,
            },
            moment=self.moment,
            checked=checked if told else "none",
            left_out=rest.left_out,
            notes=(
                *unproven,
                *(() if told else ("this server tells no checksums of its snapshots",)),
                *rest.notes,
            ),
        )

    def close(self) -> None:
        """Delete what is still on the server."""
        for snapshot in tuple(self.made):
            if self.server is not None:
                self._delete(self.server, snapshot)

    def _fetch(self, server: Qdrant, snapshot: Snapshot, found: dict[str, Any]) -> FileRecord:
        path = f"{DIRECTORY}/{_file(snapshot)}"
        check = None
        if self.saving.verify == "content":
            check = content_check(self.saving.component.kind, path, None, self.saving.work.engine, "")
        with self.saving.files.file(path, estimate=snapshot.size) as sink, server.fetch(snapshot) as chunks:
            pour(self.saving, chunks, sink, check)
            if check is not None:
                found |= laid_together(found, check.finish())
        return stored(sink, path)

    def _delete(self, server: Qdrant, snapshot: Snapshot) -> None:
        """Once; what cannot be deleted now is named in the log, and the next backup does it."""
        self.made.remove(snapshot)
        try:
            server.delete(snapshot)
        except Failed as error:
            self.stay.append(snapshot)
            log.warning("snapshot %s of %s stays on the server: %s", snapshot.name, snapshot.collection, error)
        self._note()

    def _note(self) -> None:
        """What is on the server, for whoever cleans up after us."""
        there = [(one.collection, one.name) for one in (*self.made, *self.stay)]
        self.notes.write(self.saving.component.name, there)


def _file(snapshot: Snapshot) -> str:
    """The snapshot's file, below the component's directory; no collection's name meets that of the aliases."""
    return f"{tools.file_stem(snapshot.collection)}.snapshot"

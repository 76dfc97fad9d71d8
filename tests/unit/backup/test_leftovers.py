"""Snapshots of a killed backup are noted on disk, and the next backup removes them."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blocks.backup.snapshot_notes import SnapshotNotes
from blocks.stores.qdrant import Snapshot
from compose.stack.backup.component import Component, Kind, Manner
from compose.stack.errors import Failed
from tasks.backup import leftovers, qdrant
from tasks.backup.procedure import Saving
from tests.fakes.backup_files import MemoryFiles

VECTORS = Component("vectors", Kind.QDRANT, Manner.ONLINE, ("vectors",))


class Server:
    """A Qdrant that keeps what is made in it."""

    def __init__(self) -> None:
        self.there = {"a": ["somebody's"], "b": list[str]()}
        self.refuses = False

    def aliases(self) -> list[dict[str, str]]:
        """None."""
        return []

    def collections(self) -> list[str]:
        """Their names."""
        return sorted(self.there)

    def count(self, _: str) -> int:
        """Nothing is in them."""
        return 0

    def snapshots(self, collection: str) -> list[str]:
        """Names of snapshots."""
        return self.there[collection]

    def snapshot(self, collection: str) -> Snapshot:
        """Make one."""
        self.there[collection].append(f"of-{collection}")
        return Snapshot(collection, f"of-{collection}", 0, "")

    def delete(self, snapshot: Snapshot) -> None:
        """Delete one."""
        if self.refuses:
            raise Failed("no", where="vectors")
        self.there[snapshot.collection].remove(snapshot.name)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """One server for the backup and for whoever cleans up."""
    made = Server()
    for module in (qdrant, leftovers):
        monkeypatch.setattr(module, "qdrant", lambda *_: made)
    return made


def work(state: Path) -> Any:
    return SimpleNamespace(engine=None, state=state)


def opened(state: Path) -> qdrant.QdrantProcedure:
    """A backup that has made its snapshots."""
    stopping: Any = None
    made = qdrant.QdrantProcedure(Saving(work(state), VECTORS, MemoryFiles(), stopping, state))
    made.open()
    return made


def test_what_a_killed_backup_left_is_removed_by_the_next_one(server: Server, tmp_path: Path) -> None:
    """Those that it made, and nobody else's; then nothing is noted any more."""
    opened(tmp_path)
    assert server.there == {"a": ["somebody's", "of-a"], "b": ["of-b"]}
    leftovers.sweep_snapshots(work(tmp_path), [VECTORS])
    assert server.there == {"a": ["somebody's"], "b": []}
    assert SnapshotNotes(tmp_path).read() == {}


def test_a_collection_that_is_gone_took_its_snapshots_along(server: Server, tmp_path: Path) -> None:
    """Nothing is left to remove."""
    opened(tmp_path)
    del server.there["b"]
    leftovers.sweep_snapshots(work(tmp_path), [VECTORS])
    assert SnapshotNotes(tmp_path).read() == {}


def test_what_cannot_be_removed_stays_noted(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """By the backup itself, by the next one, and while the store is not there; it is named every time."""
    procedure = opened(tmp_path)
    server.refuses = True
    noted = {"vectors": (("a", "of-a"), ("b", "of-b"))}
    with caplog.at_level(logging.WARNING):
        procedure.close()
        assert SnapshotNotes(tmp_path).read() == noted
        leftovers.sweep_snapshots(work(tmp_path), [VECTORS])
        leftovers.sweep_snapshots(work(tmp_path), [])
    assert SnapshotNotes(tmp_path).read() == noted
    assert "snapshot of-a of a of a dead backup stays" in caplog.text
    assert "left 2 snapshots in it, and it is not here" in caplog.text


def test_a_backup_that_ends_well_leaves_no_note(server: Server, tmp_path: Path) -> None:
    """Its snapshots are gone."""
    procedure = opened(tmp_path)
    procedure.close()
    assert server.there == {"a": ["somebody's"], "b": []}
    assert SnapshotNotes(tmp_path).read() == {}

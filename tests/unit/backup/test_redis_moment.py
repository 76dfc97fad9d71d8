"""Redis' file is taken when its moment is fixed: the server replaces it whenever it saves again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compose.stack.backup.component import Component, Kind, Manner
from compose.stack.errors import Refused
from tasks.backup import redis
from tasks.backup.procedure import Saving
from tests.fakes.backup_files import MemoryFiles

SETTINGS = {"dir": "/data", "dbfilename": "mine.rdb"}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Files of a server that goes on."""
    files = {"/data/mine.rdb": b"of an earlier day"}
    asked = SimpleNamespace(id="id", mounts=(), container=SimpleNamespace(image_id="image"))
    server = SimpleNamespace(
        asked=asked, setting=SETTINGS.__getitem__, info=lambda _: {}, close=lambda: None,
        save=lambda: files.update({"/data/mine.rdb": b"of this moment"}),
    )  # fmt: skip
    monkeypatch.setattr(redis, "redis_server", lambda *_: server)
    monkeypatch.setattr(redis, "read_file", lambda engine, container, path: iter((files[path],)))
    monkeypatch.setattr(redis, "file_size", lambda engine, container, path: len(files[path]))
    monkeypatch.setattr(redis, "read_rdb", lambda reader: {})
    return files


def procedure(spool: Path, files: MemoryFiles) -> redis.RedisProcedure:
    component = Component("cache", Kind.REDIS, Manner.ONLINE, ("cache",))
    work: Any = SimpleNamespace(engine=None)
    stopping: Any = None
    return redis.RedisProcedure(Saving(work, component, files, stopping, spool))


def test_what_was_opened_is_what_is_saved(disk: dict[str, bytes], tmp_path: Path) -> None:
    """Although the server has saved again since; the copy does not stay."""
    files = MemoryFiles()
    made = procedure(tmp_path, files)
    made.open()
    disk["/data/mine.rdb"] = b"of a later moment"
    saved = made.save()
    made.close()
    assert files.plain["redis/dump.rdb"] == b"of this moment"
    assert saved.fingerprint["path"] == "/data/mine.rdb"
    assert not list(tmp_path.iterdir())


def test_a_spool_without_room_is_named(
    disk: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is copied, with both numbers."""
    monkeypatch.setattr(redis, "file_size", lambda *_: 10**18)
    with pytest.raises(Refused, match="cache: its copy takes"):
        procedure(tmp_path, MemoryFiles()).open()
    assert not list(tmp_path.iterdir())

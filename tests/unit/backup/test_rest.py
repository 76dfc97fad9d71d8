"""What lies in a store's place beside its own files is archived, or left out by name where nothing encrypts it."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compose.stack.backup.component import Component, Kind, Manner, Place
from compose.stack.backup.store_files import Own
from tasks.backup import rest
from tasks.backup.procedure import Downtime, Saving
from tests.fakes.backup_files import MemoryFiles

PLACE = Place("volume", "shared", "/data", "id", "cache")


class Recorded:
    """Stops nobody, and remembers whom it was asked to stop."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    @contextmanager
    def stopped(self, services: tuple[str, ...], why: str) -> Iterator[Downtime]:
        """See `Stopping`."""
        self.asked.append(services)
        yield Downtime(seconds=1.0)


def saving(spool: Path, files: MemoryFiles, **how: Any) -> Saving:
    spool.mkdir()
    engine = SimpleNamespace(client=SimpleNamespace(api=SimpleNamespace(base_url="unix")))
    work: Any = SimpleNamespace(engine=engine)
    component = Component("cache", Kind.REDIS, Manner.ONLINE, ("cache",), (PLACE,), "id", **how)
    return Saving(work, component, files, Recorded(), spool)


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A volume of Redis in which somebody else writes too."""
    place = tmp_path / "volume"
    (place / "uploads").mkdir(parents=True)
    (place / "dump.rdb").write_bytes(b"REDIS")
    (place / "users.acl").write_text("user default on >pw\n")
    (place / "uploads/a.jpg").write_text("photo")
    (place / "uploads/b.jpg").hardlink_to(place / "uploads/a.jpg")
    (place / "uploads/link").symlink_to("/etc/passwd")
    monkeypatch.setattr(rest, "local_path", lambda *_: place)
    monkeypatch.setattr(rest, "own_of", lambda work, component: Own(component.kind, "/data", notes=("said",)))
    return place


def members(data: bytes) -> list[tuple[str, str]]:
    """Names of an archive, with what a link means."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(one.name, one.linkname) for one in archive]


def test_all_but_the_dump_is_archived_beside_it(volume: Path, tmp_path: Path) -> None:
    """By their places in the volume, links as links."""
    files = MemoryFiles()
    found = rest.save_rest(saving(tmp_path / "spool", files))
    assert members(files.plain["cache/rest.tar"]) == [
        ("uploads", ""), ("uploads/a.jpg", ""), ("uploads/b.jpg", "uploads/a.jpg"),
        ("uploads/link", "/etc/passwd"), ("users.acl", ""),
    ]  # fmt: skip
    assert [file.path.split(".zst")[0] for file in found.files] == ["cache/rest.tar", "cache/rest.index.jsonl"]
    assert found.fingerprint["beside"]["rest"]["files"] == 2
    assert (found.left_out, found.notes) == ((), ("said",))
    assert not list((tmp_path / "spool").iterdir())


def test_a_link_in_the_volume_is_saved_as_a_link(
    volume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine gives it as it is; nothing of what it leads to is read."""
    (volume / "current").symlink_to("/etc")
    asked = []

    @contextmanager
    def stream(_: Any, container: str, path: str) -> Iterator[Iterator[bytes]]:
        asked.append((container, path))
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            link = tarfile.TarInfo("current")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc"
            archive.addfile(link)
        yield iter((out.getvalue(),))

    monkeypatch.setattr("tasks.backup.sources.layer_stream", stream)
    files = MemoryFiles()
    rest.save_rest(saving(tmp_path / "spool", files))
    assert ("current", "/etc") in members(files.plain["cache/rest.tar"])
    assert asked == [("id", "/data/current")]


def test_a_secret_does_not_lie_in_clear(volume: Path, tmp_path: Path) -> None:
    """Left out by name; all else is there."""
    files = MemoryFiles(sealed=False)
    found = rest.save_rest(saving(tmp_path / "spool", files))
    assert found.left_out == ("cache: /data/users.acl",)
    assert "users.acl" not in dict(members(files.plain["cache/rest.tar"]))


def test_nothing_is_written_where_nothing_else_lies(volume: Path, tmp_path: Path) -> None:
    """As in most volumes of stores; nor what another component saves."""
    files = MemoryFiles()
    rest.save_rest(saving(tmp_path / "left", files, leaves=("shared",)))
    for name in ("users.acl", "uploads/a.jpg", "uploads/b.jpg", "uploads/link"):
        (volume / name).unlink()
    (volume / "uploads").rmdir()
    rest.save_rest(saving(tmp_path / "spool", files))
    assert files.plain == {}


def test_what_others_write_is_copied_while_they_stand_still(volume: Path, tmp_path: Path) -> None:
    """Without the store's own; the store is not asked to stop."""
    files = MemoryFiles()
    given = saving(tmp_path / "spool", files)
    given.component = Component(
        "volume-shared", Kind.VOLUME, Manner.STOPPED, ("app",), (PLACE,), "id", without=Kind.REDIS
    )
    procedure = rest.RestProcedure(given)
    procedure.open()
    (volume / "uploads/a.jpg").write_text("written after it")
    made = procedure.save()
    procedure.close()
    assert given.stopping.asked == [("app",)]
    assert [name for name, _ in members(files.plain["volume-shared/rest.tar"])][:2] == ["uploads", "uploads/a.jpg"]
    assert b"written after" not in files.plain["volume-shared/rest.tar"]
    assert made.downtime == 1.0
    assert not list((tmp_path / "spool").iterdir())

"""Files that go one by one into the pool: never an older content than the one that was there at the stop."""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blocks.backup.pool_index import Known, PoolIndex, Stamp
from blocks.backup.spool import copy_file
from blocks.backup.trees import number_of
from blocks.polling import poll
from compose.stack.backup.component import Component, Kind, Manner, Place
from compose.stack.backup.listing import parse_filed
from compose.stack.backup.manifest import Digest
from compose.stack.backup.runbook_kinds import _ATTRIBUTES
from compose.stack.errors import Failed
from tasks.backup.pooled import PooledProcedure
from tasks.backup.procedure import Downtime, Saving
from tasks.backup.sources import Source
from tests.fakes.backup_files import MemoryFiles
from tests.saving_pool import PoolLab, filed


@dataclass
class Volume:
    """A directory that is saved file by file.

    Args:
        stop: What its service does when it is stopped.
    """

    root: Path
    place: Path
    live: bool = False
    stop: Any = lambda: None
    lab: PoolLab = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir()
        self.lab = PoolLab(self.place / "lab")

    def procedure(self, pool: Any) -> PooledProcedure:
        """The procedure of the next backup."""
        manner = Manner.LIVE if self.live else Manner.STOPPED
        of = Component("v", Kind.VOLUME, manner, ("s",), options={"pool": True})
        spool = self.place / f"spool-{self.lab.number}"
        spool.mkdir()
        work: Any = SimpleNamespace(engine=None)
        return PooledProcedure(
            Saving(work, of, MemoryFiles(), SimpleNamespace(stopped=self._stopped), spool, pool=pool)
        )

    @contextmanager
    def _stopped(self, *_: object) -> Any:
        self.stop()
        yield Downtime()

    def save(self) -> tuple[dict[str, dict[str, Any]], Any]:
        """One backup: its list of files by path, and what was saved."""
        with self.lab.backup() as pool:
            procedure = self.procedure(pool)
            try:
                procedure.open()
                saved = procedure.save()
            finally:
                procedure.close()
        return {line["path"]: line for line in filed(procedure.saving.files, "v")}, saved


@pytest.fixture
def volume(tmp_path, monkeypatch) -> Volume:
    made = Volume(tmp_path / "volume", tmp_path)
    source = Source(SimpleNamespace(), Place("volume", "v"), made.root, number_of(made.root))
    monkeypatch.setattr("tasks.backup.pooled.sources_of", lambda *_: (source,))
    monkeypatch.setattr("blocks.backup.source.SETTLED", 20_000_000)
    return made


def settled(path: Path) -> bool:
    """A change from now on shows in its times."""
    return time.time_ns() - path.stat().st_ctime_ns > 100_000_000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_what_is_written_through_memory_after_it_was_put_is_put_again(volume) -> None:
    """The mapping was written before too: without a flush the kernel would tell no new time."""
    path = volume.root / "db"
    path.write_bytes(bytes(8192))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 8192) as memory:
        memory[0:1] = b"A"
        memory.flush()
        before = Stamp.of(path)
        assert poll(lambda: settled(path), 10)
        memory[0:1] = b"B"
        if Stamp.of(path) == before:
            pytest.skip("this file system tells no time for what is written through memory")
        assert poll(lambda: settled(path), 10)
        volume.stop = lambda: memory.__setitem__(slice(0, 9), b"COMMITTED")
        lines, _ = volume.save()
    assert lines["db"]["sha256"] == sha256(path.read_bytes()) == sha256(b"COMMITTED" + bytes(8183))
    volume.stop = lambda: None
    assert volume.save()[0]["db"]["sha256"] == lines["db"]["sha256"]


def test_a_file_is_flushed_before_it_is_read_and_not_when_it_is_known(volume, monkeypatch) -> None:
    """Each flush may cost a turn of the disk: what looks unchanged needs none, nor does a copy of ours."""
    flushed: list[str] = []
    really = os.fsync
    monkeypatch.setattr("blocks.backup.source.os.fsync", lambda fd: (flushed.append(_name(fd)), really(fd)))
    (volume.root / "known").write_text("1")
    (volume.root / "late").write_text("1")
    assert poll(lambda: settled(volume.root / "late"), 10)
    volume.stop = lambda: (volume.root / "late").write_text("22")
    volume.save()
    assert [name for name in flushed if name.startswith(str(volume.root))] == [
        str(volume.root / "known"),
        str(volume.root / "late"),
    ]
    assert not [name for name in flushed if "copies" in name]
    flushed.clear()
    volume.stop = lambda: None
    volume.save()
    assert str(volume.root / "known") not in flushed


def test_what_was_remembered_without_a_flush_is_forgotten(tmp_path) -> None:
    """Blobs are still known: nothing is copied twice."""
    path, stamp = tmp_path / "index.sqlite", Stamp(1, 2, 3, 4)
    digest = Digest(sha256="a" * 64, bytes=1)
    index = PoolIndex(path)
    index.remember_file("one", stamp, "a" * 64)
    index.remember_blob("place", "key", Known(digest))
    index.close()
    assert PoolIndex(path).hash_of("one", stamp) == "a" * 64
    with sqlite3.connect(path) as base:
        base.execute("PRAGMA user_version = 0")
    index = PoolIndex(path)
    assert (index.hash_of("one", stamp), index.blob("place", "key")) == (None, Known(digest))
    index.close()


class Disturbed:
    """A pool in whose way a service is: it writes some files whenever they are read, and removes others."""

    def __init__(self, pool, written=(), removed=()) -> None:
        self.pool, self.written, self.removed = pool, written, removed

    def put(self, source):
        if source.path.name in self.removed:
            source.path.unlink()
        if source.path.name in self.written:
            raise Failed("was changed while it was saved")
        return self.pool.put(source)


def disturbed(volume: Volume, **how: Any) -> tuple[dict[str, dict[str, Any]], Any]:
    """One backup of a volume that is written meanwhile."""
    volume.live = True
    with volume.lab.backup() as pool:
        procedure = volume.procedure(Disturbed(pool, **how))
        procedure.open()
        saved = procedure.save()
        procedure.close()
    return {line["path"]: line for line in filed(procedure.saving.files, "v")}, saved


def test_several_files_may_change_while_they_are_read_live(volume) -> None:
    """Each is copied as it is at one reading, and told by name."""
    for name in "abc":
        (volume.root / name).write_text(name * 100)
    lines, saved = disturbed(volume, written=("a", "c"))
    assert {path: line["sha256"] for path, line in lines.items() if path != "."} == {
        name: sha256(name.encode() * 100) for name in "abc"
    }
    assert saved.notes == ("2 files were written while they were read: a, c",)


def test_a_file_that_is_removed_while_it_is_read_live_is_gone(volume) -> None:
    """And its other name is saved as the file that it is now."""
    for name in "abc":
        (volume.root / name).write_text(name)
    os.link(volume.root / "b", volume.root / "other")
    lines, saved = disturbed(volume, removed=("b",))
    assert set(lines) == {".", "a", "c", "other"}
    assert lines["other"]["kind"] == "file"
    assert lines["other"]["sha256"] == sha256(b"b")
    assert saved.fingerprint["files"] == 3


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EOPNOTSUPP])
def test_a_copy_to_another_file_system_is_made_by_hand(tmp_path, monkeypatch, code) -> None:
    """Where the kernel does not copy from one to the other."""

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    copy_file(tmp_path / "big", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (tmp_path / "big").read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "big")
    with pytest.raises(Failed, match="cannot be copied"):
        copy_file(tmp_path / "link", tmp_path / "other")


def test_extended_attributes_are_in_the_list_and_the_runbook_sets_them(volume, tmp_path) -> None:
    """Bytes of every kind, as those of an ACL are; a list without any is as before."""
    value = bytes(range(256))
    (volume.root / "file").write_text("x")
    (volume.root / "plain").write_text("x")
    try:
        os.setxattr(volume.root / "file", "user.acl", value)
    except OSError:
        pytest.skip("this file system knows no extended attributes")
    with volume.lab.backup() as pool:
        procedure = volume.procedure(pool)
        procedure.open()
        procedure.save()
        procedure.close()
    listing = procedure.saving.files.plain["v/files.jsonl"]
    lines = {line["path"]: line for line in map(json.loads, listing.splitlines())}
    assert "xattrs" not in lines["plain"]
    assert parse_filed(next(line for line in listing.splitlines() if b"user.acl" in line)).xattrs == {
        "user.acl": value.decode("latin-1")
    }
    (tmp_path / "files.jsonl").write_bytes(listing)
    if not shutil.which("jq"):
        pytest.skip("no jq here")
    told = subprocess.run(("jq", "-r", _ATTRIBUTES, "files.jsonl"), cwd=tmp_path, capture_output=True, check=True)
    assert told.stdout.decode() == f"file\tuser.acl\t0x{value.hex()}\n"


def _name(handle: int) -> str:
    return os.readlink(f"/proc/self/fd/{handle}")

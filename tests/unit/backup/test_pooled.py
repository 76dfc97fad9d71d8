"""Files that go one by one into the pool: never an older content than the one that was there at the stop."""

from __future__ import annotations

import hashlib
import mmap
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blocks.backup.pool_index import Stamp
from blocks.backup.trees import number_of
from blocks.polling import poll
from compose.stack.backup.component import Component, Kind, Manner, Place
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


def _name(handle: int) -> str:
    return os.readlink(f"/proc/self/fd/{handle}")

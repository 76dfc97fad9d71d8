"""Blobs of one name and other bytes: backups of a stack that were made apart, copied, damaged, mended."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from blocks.backup import pool
from blocks.backup.copying import copy_backup
from blocks.backup.pool import PoolWriter, Put
from blocks.backup.pool_index import Known, PoolIndex
from blocks.backup.rekey import rekey_backup
from blocks.backup.source import Source
from blocks.backup.verify import verify_bytes
from blocks.targets.directory import DirectoryTarget
from compose.stack.backup.layout import blob_key, pool_prefix
from compose.stack.backup.request import VerifyBackupRequest
from compose.stack.errors import Failed, Refused
from flows.walker import ThreadRunner
from tasks.backup.keeping import _Copying
from tasks.backup.proving import _verified
from tasks.backup.shelves import _shelfful
from tests.backup_lab import BackupLab, new_identity
from tests.fakes.memory_target import MemoryTarget


@pytest.fixture
def lab(tmp_path: Path) -> BackupLab:
    """A home with one stack."""
    return BackupLab(tmp_path)


@pytest.fixture
def one_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sealed blobs are named by what they hold alone, as they once were."""

    def named(blobs: str, address: str, encodings: tuple[str, ...], nonce: str = "") -> str:
        return blob_key(blobs, address, encodings)  # type: ignore[arg-type]

    monkeypatch.setattr(pool, "blob_key", named)


class Unread(MemoryTarget):
    """Answers one read of some manifest with an error, as a server does now and then."""

    failing = ""

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Fails for the one."""
        if self.failing and key.endswith(f"{self.failing}/manifest.json"):
            raise Failed("answered InternalError (500)", where=self.name)
        return super().read(key, start, length)


def test_a_copy_overwrites_no_blob_of_a_backup_that_cannot_be_read(lab: BackupLab, one_name: None) -> None:
    """What it names is not known, so nothing is written; once it is read, the clash is named."""
    here, there = MemoryTarget("here"), Unread("there")
    mine, other = lab.backup({"here": here}, lab.recipients), lab.backup({"there": there}, lab.recipients)
    before = dict(there.objects)
    there.failing = other.id
    with pytest.raises(Refused, match=f"manifest of {other.id} cannot be read"):
        copy_backup(lab.shelf(here), lab.shelf(there), mine.id)
    there.failing = ""
    with pytest.raises(Refused, match="other bytes"):
        copy_backup(lab.shelf(here), lab.shelf(there), mine.id)
    assert there.objects == before
    assert verify_bytes(lab.shelf(there), other.id).passed


def test_sealed_backups_that_were_made_apart_are_copied_to_one_target(lab: BackupLab) -> None:
    """Blobs that were encrypted each on its own have names of their own."""
    here, there = MemoryTarget("here"), MemoryTarget("there")
    mine, other = lab.backup({"here": here}, lab.recipients), lab.backup({"there": there}, lab.recipients)
    copy_backup(lab.shelf(here), lab.shelf(there), mine.id)
    assert all(verify_bytes(lab.shelf(there), one.id).passed for one in (mine, other))


def test_a_blob_written_by_a_run_that_died_is_not_taken_for_an_older_one(
    lab: BackupLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the blob and the note about it: what was noted of an earlier blob is forgotten before."""
    target, address = MemoryTarget("local"), "ab" * 32

    def put(byte: bytes) -> Put:
        writer = PoolWriter(lab.writer({"local": target}), lab.keyring, lab.index)
        try:
            return writer.put(Source("image", 3, lambda: iter((byte * 3,)), address=address), compress=True)
        finally:
            writer.close()

    def killed(index: PoolIndex, place: str, key: str, known: Known) -> None:
        raise KeyboardInterrupt

    target.delete(pool_prefix(lab.identity.stack_id) + put(b"1").blob.key)
    with monkeypatch.context() as patched:
        patched.setattr(PoolIndex, "remember_blob", killed)
        with pytest.raises(KeyboardInterrupt):
            put(b"2")
    found = put(b"3").blob
    stored = b"".join(target.read(pool_prefix(lab.identity.stack_id) + found.key))
    assert hashlib.sha256(stored).hexdigest() == found.stored.sha256


# --- damaged blobs -----------------------------------------------------------------------------------------


def spoiled(lab: BackupLab, target: MemoryTarget) -> list[str]:
    """Flip a bit in every blob; their keys."""
    keys = [entry.key for entry in target.list(pool_prefix(lab.identity.stack_id))]
    for key in keys:
        data = bytearray(b"".join(target.read(key)))
        data[len(data) // 2] ^= 1
        target.put(key, bytes(data))
    return keys


def verified(lab: BackupLab, target: MemoryTarget, backup: str) -> list[str]:
    """Verify it as the command does, on record; the problems."""
    request = VerifyBackupRequest(id=backup)
    return _verified(_shelfful(lab.shelf(target)), backup, request, lab.keys, lab.index).problems


@pytest.mark.parametrize("sealed", [False, True])
def test_damaged_blobs_are_written_anew_by_the_next_backup(lab: BackupLab, sealed: bool) -> None:
    """Once they are found; and what is stored under the hash of its own bytes is whole again in old ones too."""
    target, recipients = MemoryTarget("local"), lab.recipients if sealed else ()
    old = lab.backup({"local": target}, recipients)
    damaged = spoiled(lab, target)
    assert len(verified(lab, target, old.id)) == len(damaged) == 3
    new = lab.backup({"local": target}, recipients)
    assert verified(lab, target, new.id) == []
    assert new.components[1].pool
    assert new.components[1].pool.new_blobs == 3
    left = verify_bytes(lab.shelf(target), old.id).damaged
    assert all(key.endswith((".zst", ".age")) for key in left)
    again = lab.backup({"local": target}, recipients).components[1].pool
    assert again
    assert again.new_blobs == 0


def test_a_damaged_blob_is_taken_from_the_target_that_has_it_whole(lab: BackupLab) -> None:
    """The next backup to both mends it under its name, for every backup that names it."""
    both = {name: MemoryTarget(name) for name in ("one", "two")}
    old = lab.backup(both, lab.recipients)
    before = dict(both["one"].objects)
    damaged = spoiled(lab, both["one"])
    assert verified(lab, both["one"], old.id)
    lab.backup(both, lab.recipients)
    assert verified(lab, both["one"], old.id) == []
    assert all(both["one"].objects[key][0] == before[key][0] for key in damaged)


def test_what_was_not_read_is_counted(lab: BackupLab) -> None:
    """Blobs that lay there before prove nothing of a backup that only names them."""
    target, source = MemoryTarget("local"), Source.of(lab.models / "blobs/noise")
    for expected in (0, 1):
        writer = PoolWriter(lab.writer({"local": target}), lab.keyring, lab.index)
        for _ in range(2):
            writer.put(source)
        writer.close()
        assert writer.reused == expected


def test_a_copy_mends_what_was_found_damaged(lab: BackupLab) -> None:
    """Files and blobs, from a target that has them whole; other backups name the same blobs."""
    both = {name: MemoryTarget(name) for name in ("one", "two")}
    old, _ = lab.backup(both), lab.backup(both)
    spoiled(lab, both["two"])
    key = lab.prefix(old.id) + old.files[1].path
    both["two"].put(key, b"x" * len(both["two"].objects[key][0]))
    assert len(verified(lab, both["two"], old.id)) == 4
    one, two = (_shelfful(lab.shelf(target)) for target in both.values())
    row, error = _Copying(lab.home, "light", one, old.id, False, ThreadRunner()).mended(two)
    assert (row["state"], error) == ("mended", "")
    assert lab.shelf(both["two"]).facts(old.id).verified == "bytes"
    row, error = _Copying(lab.home, "light", two, old.id, False, ThreadRunner()).mended(two)
    assert "so is what two has" in error


def test_a_copy_mends_no_other_version_of_a_backup(lab: BackupLab) -> None:
    """One that was encrypted to others meanwhile is not brought back."""
    here, there, new = MemoryTarget("here"), MemoryTarget("there"), new_identity()
    both = lab.backup({"here": here, "there": there}, lab.recipients)
    rekey_backup([lab.shelf(there)], both.id, new.recipients, lab.keys, datetime.now(UTC), lab.index)
    with pytest.raises(Refused, match="encrypted anew"):
        copy_backup(lab.shelf(here), lab.shelf(there), both.id, mend=True)


# --- big blobs from a directory to another target ----------------------------------------------------------


class Sent(MemoryTarget):
    """Notes which files are sent to it; refuses while it is told to."""

    def __init__(self) -> None:
        super().__init__("sent")
        self.files: list[str] = []
        self.refusing = False

    def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Write a file."""
        self.files.append(str(path))
        if self.refusing:
            raise Failed("the connection broke off", where=self.name)
        super().put_file(key, path, sha256)


def test_a_big_blob_of_a_directory_is_sent_as_a_file(
    lab: BackupLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So an upload that broke off goes on in the next backup; who does not take it is left out alone."""
    monkeypatch.setattr(pool, "RESUMABLE", 1000)
    (tmp_path / "target").mkdir()
    here, there = DirectoryTarget(tmp_path / "target", "here"), Sent()
    source = Source.of(lab.models / "blobs/noise")
    for refusing in (True, False):
        there.refusing = refusing
        writer = lab.writer({"here": here, "sent": there})
        put = PoolWriter(writer, lab.keyring, lab.index).put(source, compress=False)
        assert list(writer.errors) == (["sent"] if refusing else [])
    kept = str(here.local(pool_prefix(lab.identity.stack_id) + put.blob.key))
    assert there.files == [kept, kept]
    assert Path(kept).read_bytes() == there.objects[pool_prefix(lab.identity.stack_id) + put.blob.key][0]


def test_a_big_blob_that_is_damaged_in_the_directory_is_not_sent(
    lab: BackupLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written anew, everywhere: the other target is not to blame."""
    monkeypatch.setattr(pool, "RESUMABLE", 1000)
    (tmp_path / "target").mkdir()
    here, there = DirectoryTarget(tmp_path / "target", "here"), Sent()
    source = Source.of(lab.models / "blobs/noise")
    put = PoolWriter(lab.writer({"here": here}), lab.keyring, lab.index).put(source, compress=False)
    kept = here.local(pool_prefix(lab.identity.stack_id) + put.blob.key)
    kept.write_bytes(bytes(put.blob.stored.bytes))
    writer = lab.writer({"here": here, "sent": there})
    PoolWriter(writer, lab.keyring, lab.index).put(source, compress=False)
    assert writer.errors == {}
    assert kept.read_bytes() == (lab.models / "blobs/noise").read_bytes()

"""Blobs of one name and other bytes: backups of a stack that were made apart, copied, damaged, mended."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.backup import pool
from blocks.backup.copying import copy_backup
from blocks.backup.pool import PoolWriter, Put
from blocks.backup.pool_index import Known, PoolIndex
from blocks.backup.source import Source
from blocks.backup.verify import verify_bytes
from compose.stack.backup.layout import blob_key, pool_prefix
from compose.stack.errors import Failed, Refused
from tests.backup_lab import BackupLab
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

"""Copying a backup from one target to another, without its stores; again where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from blocks.backup.pool_blobs import blobs_of
from blocks.backup.reader import read_stored
from blocks.backup.shelf import Shelf, Shelved
from blocks.targets.base import Target
from compose.stack.backup.layout import backup_prefix, pool_prefix, records_prefix
from compose.stack.backup.manifest import MANIFEST, RUNBOOK, SIGNATURE, Digest
from compose.stack.backup.records import Fact, Rehearsed, Verified
from compose.stack.errors import Failed, Refused


@dataclass(frozen=True)
class Copied:
    """What a copy did.

    Args:
        files: Objects that were copied; `bytes`: what they take.
        there: Objects that were there already and are the same.
        records: Later facts that were copied: what was proven only where every byte was read.
        blobs: What was written to the pool there, by key.
    """

    backup: str
    files: int
    bytes: int
    there: int
    records: int
    blobs: Mapping[str, Digest] = field(default_factory=dict)


def copy_backup(
    source: Shelf,
    destination: Shelf,
    backup: str,
    *,
    trust: bool = False,
    mend: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Copied:
    """Copy one backup: its files, the blobs that are missing, its records; the manifest last.

    Everything is hashed on its way; what is there already is read back before it counts.

    Args:
        trust: Accept a manifest that a key signed which this home does not know.
        mend: The backup is there already and damaged: everything is read back, and written anew where it differs.
        progress: Told the bytes that were copied since the last call.

    Raises:
        Failed: Something is missing or damaged at the source, or the destination took it not.
        Refused: The stacks differ, the manifest cannot be trusted, or another backup there holds other bytes; or
            the backup to mend is another version of it.
    """
    if source.stack_id != destination.stack_id:
        raise Refused(f"{source.stack_id} is not copied into {destination.stack_id}", where=backup)
    shelved = source.manifest(backup, trust=trust)
    if mend and destination.manifest(backup, trust=trust).data != shelved.data:
        what = f"its manifest is not that of {source.target.name}: it was encrypted anew on one of them"
        raise Refused(what, where=f"{destination.target.name}: {backup}", next="./ops rekey, then the same again")
    work = _Copy(source.target, destination.target, progress)
    blobs = _blobs(work, source, destination, shelved, mend=mend)
    prefix = backup_prefix(source.stack_id, backup)
    for file in shelved.manifest.files:
        work.object(prefix + file.path, file.stored)
    runbook = b"".join(source.target.read(prefix + RUNBOOK)) if source.target.size(prefix + RUNBOOK) else b""
    for name, data in ((RUNBOOK, runbook), (SIGNATURE, shelved.signature), (MANIFEST, shelved.data)):
        destination.target.put(prefix + name, data)
    records = _records(source, destination, backup, proven=not work.trusted)
    return Copied(backup, work.files, work.bytes, work.there, records, blobs)


class _Copy:
    """Copies objects."""

    def __init__(self, source: Target, destination: Target, progress: Callable[[int], None]) -> None:
        self._source, self._destination, self._progress = source, destination, progress
        self.files = self.bytes = self.there = self.trusted = 0

    def object(self, key: str, digest: Digest, *, proven: bool = False) -> bool:
        """Copy one object unless it is there; whether it was copied.

        Args:
            proven: A backup at the destination says the same of it: its size is enough.
        """
        size = self._destination.size(key)
        if size == digest.bytes and (proven or self._same(key, digest)):
            self.there += 1
            self.trusted += proven
            return False
        upload = self._destination.begin(key, digest.bytes)
        try:
            for chunk in read_stored(self._source, key, digest, where=f"{self._source.name}: {key}"):
                upload.write(chunk)
                self._progress(len(chunk))
            upload.commit()
        except BaseException:
            upload.abort()
            raise
        self.files += 1
        self.bytes += digest.bytes
        return True

    def _same(self, key: str, digest: Digest) -> bool:
        try:
            for _ in read_stored(self._destination, key, digest, where=key):
                pass
        except Failed:
            return False
        return True


def _blobs(work: _Copy, source: Shelf, destination: Shelf, shelved: Shelved, *, mend: bool) -> dict[str, Digest]:
    """Copy the blobs; those that were written."""
    wanted = {blob.key: blob.stored for blob in blobs_of(source.target, shelved.manifest)}
    if not wanted:
        return {}
    told = _told(destination, shelved.manifest.id)
    clash = [key for key, digest in wanted.items() if told.get(key, digest) != digest]
    if clash:
        raise Refused(
            f"{len(clash)} blobs of other backups there have the same names and other bytes, such as {clash[0]}",
            where=destination.target.name, next="copy to a target of its own",
        )  # fmt: skip
    prefix = pool_prefix(source.stack_id)
    return {
        key: digest
        for key, digest in wanted.items()
        if work.object(prefix + key, digest, proven=key in told and not mend)
    }


def _told(destination: Shelf, own: str) -> dict[str, Digest]:
    """What the other backups at the destination say of their blobs.

    Raises:
        Refused: One of them cannot be read now: it may name any blob.
        Failed: Its list of blobs cannot.
    """
    others, unread = destination.manifests(trust=True)
    for name in sorted(set(unread) - {own}):
        raise Refused(
            f"the manifest of {name} cannot be read, and its blobs might be overwritten: {unread[name].what}",
            where=destination.target.name, next="the same again; if it stays so, ./ops backups tells more",
        )  # fmt: skip
    told: dict[str, Digest] = {}
    for name, other in others.items():
        if name != own:
            told.update({blob.key: blob.stored for blob in blobs_of(destination.target, other.manifest)})
    return told


def _records(source: Shelf, destination: Shelf, backup: str, *, proven: bool) -> int:
    """Copy what was learned, but for what was found wrong with the bytes that lie at the source.

    Args:
        proven: Every byte at the destination was read; without, nothing that was proven is said of them.
    """
    prefix, copied = records_prefix(source.stack_id, backup), 0
    there = {entry.key for entry in destination.target.list(prefix)}
    for name, record in source.named_records(backup).items():
        if prefix + name in there or not _holds_there(record.fact, proven=proven):
            continue
        for key in (f"{prefix}{name}.sig", prefix + name):
            destination.target.put(key, b"".join(source.target.read(key)))
        copied += 1
    return copied


def _holds_there(fact: Fact, *, proven: bool) -> bool:
    """Whether what was learned of one copy is true of another one."""
    if not isinstance(fact, Verified | Rehearsed):
        return True
    if fact.passed:
        return proven
    return isinstance(fact, Rehearsed) or fact.level == "content"

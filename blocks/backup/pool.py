"""Blobs that all backups of a stack share, addressed by what they hold and who can open them."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from blocks.backup.delivery import deliver
from blocks.backup.pool_index import Known, PoolIndex
from blocks.backup.pool_place import PoolPlace
from blocks.backup.reader import read_stored
from blocks.backup.signing import Keyring
from blocks.backup.source import Source
from blocks.backup.writer import BackupWriter
from blocks.targets.base import KeepsFiles, TakesFiles, Target
from compose.stack.backup.layout import blob_key, checked_blob_key, encodings_of, pool_prefix, recipient_set
from compose.stack.backup.listing import Blob
from compose.stack.backup.manifest import Digest
from compose.stack.errors import Failed, OpsError

log = logging.getLogger("ops.backup")
RESUMABLE = 64 * 1024 * 1024
"""Bytes from which a file that is stored as it is goes on where an earlier upload stopped."""


@dataclass(frozen=True)
class Put:
    """A file that is in the pool now.

    Args:
        plain: What it holds.
        added: Stored bytes that were written for it; 0 when it was there.
    """

    blob: Blob
    plain: Digest
    added: int = 0


class PoolWriter:
    """Puts files into the pool of every target that a backup is written to; threads may share it.

    What is there is not copied, and what looks unchanged is not read.

    Args:
        writer: The backup that names the blobs; a target that fails here is left out there.
        index: Where this host remembers, `stacks/NAME/pool-index.sqlite`.
        reread: Read every file although it looks unchanged.
    """

    def __init__(self, writer: BackupWriter, keyring: Keyring, index: Path, *, reread: bool = False) -> None:
        self._writer, self._reread = writer, reread
        self._index = PoolIndex(index)
        self._set = recipient_set(writer.recipients)
        self._places = {
            name: PoolPlace(target, writer.stack_id, self._set, keyring, self._index)
            for name, target in writer.targets.items()
        }
        self._used: dict[str, Blob] = {}
        self._fresh: set[str] = set()
        self._turn = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        writer.before_manifest.append(self.check_present)

    def put(self, source: Source, *, compress: bool | None = None) -> Put:
        """Have a file in the pool of every target.

        Args:
            compress: None: when a sample of it shrinks.

        Raises:
            Failed: It is not what its hash says, was changed meanwhile, or no target takes it.
        """
        address, taken = source.address or self._known(source), ""
        if not address:
            source.flush()
        if not address and (taker := self._taker(source, compress)):
            taken = self._taken(taker, source)
        address = address or taken or self._hashed(source)
        with self._lock(address):
            there = self._there(address)
            shared = self._shared(there, source)
            found = shared or self._spread(there, source) or self._write(address, source, compress)
        if taken or not shared:
            self._fresh.add(found.blob.key)
        self._used[found.blob.key] = found.blob
        return replace(found, added=found.blob.stored.bytes) if taken else found

    @property
    def reused(self) -> int:
        """How many blobs were there already and were not read."""
        return len(self._used.keys() - self._fresh)

    def check_present(self, name: str, target: Target) -> None:
        """See that every blob that was put lies on a target, by a new listing.

        Raises:
            Failed: One does not, or has another size.
        """
        if not self._used:
            return
        sizes = self._places[name].listing(fresh=True)
        lost = [key for key, blob in self._used.items() if sizes.get(key) != blob.stored.bytes]
        if lost:
            raise Failed(f"{len(lost)} blobs are not in its pool, such as {lost[0]}", where=target.name)

    def close(self) -> None:
        """Let go of the index."""
        self._index.close()

    def _known(self, source: Source) -> str:
        """A file's SHA-256 without reading it; empty where it has to be read."""
        known = None if self._reread or source.stamp is None else self._index.hash_of(source.name, source.stamp)
        if source.sha256 and (known == source.sha256 or not self._reread):
            return source.sha256
        return known or ""

    def _hashed(self, source: Source) -> str:
        found = source.hashed()
        if source.sha256 and found != source.sha256:
            raise _other(source, found)
        self._remember(source, found)
        return found

    def _taker(self, source: Source, compress: bool | None) -> str:
        """A target that takes a file while it is hashed; none where the pool may hold that file already.

        A big file is read twice otherwise, and hashing comes before the first byte is written.
        """
        if source.sha256 or self._writer.sealed or not _whole(source):
            return ""
        living = self._writer.living
        name = next((name for name, target in living.items() if isinstance(target, TakesFiles)), "")
        try:
            if not name or any(source.size in self._places[each].listing().values() for each in living):
                return ""
        except OpsError:
            return ""  # said again, of that target, when it is used
        return "" if compress or (compress is None and source.worth_compressing()) else name

    def _taken(self, name: str, source: Source) -> str:
        """Store a file as it is on one target while it is hashed; its SHA-256.

        Empty when that failed: read once more, for all targets alike, it shows whether file or target is to blame.
        """
        target, before = self._writer.targets[name], pool_prefix(self._writer.stack_id)
        assert isinstance(target, TakesFiles)
        assert source.path is not None
        token = hashlib.sha256(f"{source.name}\0{source.stamp}".encode()).hexdigest()[:16]

        def key_of(sha256: str) -> str:
            source.same()
            return before + blob_key(self._set, sha256, ())

        try:
            found = target.take_file(source.path, f"{before}{self._set}/coming", key_of, token)
        except OpsError as error:
            log.warning("%s: %s is tried once more: %s", name, source.name, error)
            return ""
        self._remember(source, found)
        digest = Digest(sha256=found, bytes=source.size)
        self._note({name}, blob_key(self._set, found, ()), Known(digest, digest))
        return found

    def _there(self, address: str) -> dict[str, dict[str, Known]]:
        """What the living targets hold under an address, by target and key."""
        found: dict[str, dict[str, Known]] = {}
        for name in self._writer.living:
            try:
                found[name] = self._places[name].known(address)
            except OpsError as error:
                self._writer.lost({name: error})
        return found

    def _shared(self, there: Mapping[str, Mapping[str, Known]], source: Source) -> Put | None:
        """A blob that all of them hold alike."""
        for key, known in next(iter(there.values()), {}).items():
            alike = all(held.get(key) and held[key].stored == known.stored for held in there.values())
            plain = _plain(key, known, source)
            if alike and plain:
                return Put(Blob(key=key, stored=known.stored), plain)
        return None

    def _spread(self, there: Mapping[str, Mapping[str, Known]], source: Source) -> Put | None:
        """Copy a blob, as it is stored, from a target that holds it to those that do not."""
        for holder, held in there.items():
            for key, known in held.items():
                plain = _plain(key, known, source)
                if plain is None or any(o.get(key, known).stored != known.stored for o in there.values()):
                    continue
                lacking = {n: self._writer.targets[n] for n in there if key not in there[n]}
                if not all(self._places[name].takes(key, known.stored) for name in lacking):
                    continue
                try:
                    self._copy(self._writer.targets[holder], lacking, key, known)
                except OpsError as error:
                    log.warning("%s: %s cannot be copied from there, and is written anew: %s", holder, key, error)
                    continue
                return Put(Blob(key=key, stored=known.stored), plain, known.stored.bytes)
        return None

    def _copy(self, holder: Target, lacking: Mapping[str, Target], key: str, known: Known) -> None:
        full = pool_prefix(self._writer.stack_id) + key
        self._forget(set(lacking), key)
        if isinstance(holder, KeepsFiles) and known.stored.bytes >= RESUMABLE:
            self._send_kept(holder, holder.local(full), lacking, key, known)
            return
        with deliver(lacking, full, (), estimate=known.stored.bytes) as delivery:
            for chunk in read_stored(holder, full, known.stored, where=f"{holder.name}: {key}"):
                delivery.write(chunk)
        self._writer.lost(delivery.errors)
        self._note(set(lacking) - set(delivery.errors), key, known)

    def _send_kept(
        self, holder: Target, path: Path, lacking: Mapping[str, Target], key: str, known: Known
    ) -> None:
        """From a file of a target: an upload that stopped goes on.

        Raises:
            Failed: What the holder has is not what was recorded.
        """
        full = pool_prefix(self._writer.stack_id) + key
        errors = self._put_file(lacking, key, path, known.stored.sha256)
        if errors:  # its file is read to its end once more: is it to blame, or who did not take it?
            for _ in read_stored(holder, full, known.stored, where=f"{holder.name}: {key}"):
                pass
        self._writer.lost(errors)
        self._note(set(lacking) - set(errors), key, known)

    def _put_file(self, targets: Mapping[str, Target], key: str, path: Path, sha256: str) -> dict[str, OpsError]:
        """Upload a local file to targets; what failed, by target."""
        errors: dict[str, OpsError] = {}
        for name, target in targets.items():
            try:
                target.put_file(pool_prefix(self._writer.stack_id) + key, path, sha256)
            except OpsError as error:
                errors[name] = error
        return errors

    def _write(self, address: str, source: Source, compress: bool | None) -> Put:
        """Read it and store it, on all living targets alike."""
        shrinks = source.worth_compressing() if compress is None else compress
        encodings = encodings_of(compress=shrinks, sealed=self._writer.sealed)
        key = blob_key(self._set, address, encodings)
        taken = any(key in self._places[name].listing() for name in self._writer.living)
        varies = bool(encodings or source.address)
        if self._writer.sealed or (varies and taken):  # sealed again it has other bytes, and so another name
            key = blob_key(self._set, address, encodings, os.urandom(4).hex())
        known = self._sent(key, source) if not encodings and _whole(source) else self._streamed(key, source)
        if source.address == "" and known.plain and not self._reread:
            self._remember(source, known.plain.sha256)
        assert known.plain is not None
        return Put(Blob(key=key, stored=known.stored), known.plain, known.stored.bytes)

    def _streamed(self, key: str, source: Source) -> Known:
        address, encodings = checked_blob_key(key)

        def check(plain: Digest) -> None:
            source.same()
            if not source.address and plain.sha256 != address:
                raise _other(source, plain.sha256)

        full, writer = pool_prefix(self._writer.stack_id) + key, self._writer
        self._forget(set(writer.living), key)
        with deliver(writer.living, full, encodings, writer.recipients, source.size, check) as delivery:
            for chunk in source.open():
                delivery.write(chunk)
        plain, stored = delivery.digests
        names = set(writer.living) - set(delivery.errors)
        writer.lost(delivery.errors)
        known = Known(stored, plain)
        self._note(names, key, known)
        return known

    def _sent(self, key: str, source: Source) -> Known:
        """A big local file that is stored as it is: an upload that stopped goes on."""
        assert source.path is not None
        address, _ = checked_blob_key(key)
        known = Known(Digest(sha256=address, bytes=source.size), Digest(sha256=address, bytes=source.size))
        living = self._writer.living
        errors = self._put_file(living, key, source.path, address)
        source.same()
        if len(errors) == len(living):
            raise next(iter(errors.values()))
        self._writer.lost(errors)
        self._note(set(living) - set(errors), key, known)
        return known

    def _note(self, names: set[str], key: str, known: Known) -> None:
        for name in names:
            try:
                self._places[name].note(key, known)
            except OpsError as error:
                self._writer.lost({name: error})

    def _forget(self, names: set[str], key: str) -> None:
        """Before it is written: a run that dies between that and its note leaves nothing untrue behind."""
        for name in names:
            try:
                self._places[name].forget(key)
            except OpsError as error:
                self._writer.lost({name: error})

    def _remember(self, source: Source, sha256: str) -> None:
        if source.stamp is not None and source.settled:
            self._index.remember_file(source.name, source.stamp, sha256)

    def _lock(self, address: str) -> threading.Lock:
        with self._turn:
            return self._locks.setdefault(address, threading.Lock())


def _whole(source: Source) -> bool:
    return source.path is not None and source.size >= RESUMABLE and not source.address


def _plain(key: str, known: Known, source: Source) -> Digest | None:
    """What a blob holds: by its name, or as remembered."""
    if source.address:
        return known.plain
    return Digest(sha256=checked_blob_key(key)[0], bytes=known.plain.bytes if known.plain else source.size)


def _other(source: Source, found: str) -> Failed:
    wanted = source.sha256 or "what was read before"
    return Failed(f"holds other bytes ({found[:16]}…) than {wanted[:16]}… says", where=source.name)

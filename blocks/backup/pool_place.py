"""One target's pool, as far as a writer has to know it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from blocks.backup.pool_blobs import blobs_of
from blocks.backup.pool_index import Known, PoolIndex
from blocks.backup.reader import undone
from blocks.backup.shelf import Shelf
from blocks.backup.signing import Keyring
from blocks.backup.streams import Counted
from blocks.targets.base import Target
from compose.stack.backup.layout import checked_blob_key, place_key, pool_prefix
from compose.stack.backup.manifest import Digest
from compose.stack.errors import OpsError, Refused


class PoolPlace:
    """The blobs of one recipient set on one target, listed once.

    Args:
        blobs: Name of the set.
    """

    def __init__(self, target: Target, stack_id: str, blobs: str, keyring: Keyring, index: PoolIndex) -> None:
        self._target, self._stack_id, self._set = target, stack_id, blobs
        self._shelf, self._index = Shelf(target, stack_id, keyring), index
        self._sizes: dict[str, int] | None = None
        self._by_address: dict[str, list[str]] = {}
        self._earlier: dict[str, Digest] | None = None
        self._mark = ""
        self._turn = threading.RLock()

    def listing(self, *, fresh: bool = False) -> dict[str, int]:
        """Stored bytes by key."""
        with self._turn:
            if self._sizes is None or fresh:
                prefix = pool_prefix(self._stack_id)
                entries = self._target.list(pool_prefix(self._stack_id, self._set))
                self._sizes = {entry.key[len(prefix) :]: entry.size for entry in entries}
                self._by_address = {}
                for key in self._sizes:
                    self._file_under(key)
            return self._sizes

    def known(self, address: str) -> dict[str, Known]:
        """The blobs under an address of which we know for sure what they are, by key; none that is damaged."""
        with self._turn:
            sizes = self.listing()
            keys = list(self._by_address.get(address, ()))
        found = {key: self._known(key) for key in keys}
        return {key: known for key, known in found.items() if known and known.stored.bytes == sizes[key]}

    def takes(self, key: str, stored: Digest) -> bool:
        """Whether a blob may be written under a name: nothing has it, or the same bytes, which are damaged."""
        if key not in self.listing():
            return True
        return self._index.is_damaged(self._place(), key) and self._from_earlier().get(key, stored) == stored

    def note(self, key: str, known: Known) -> None:
        """A blob was written."""
        with self._turn:
            if key not in self.listing():
                self.listing()[key] = known.stored.bytes
                self._file_under(key)
            self.listing()[key] = known.stored.bytes
        self._index.remember_blob(self._place(), key, known)

    def forget(self, key: str) -> None:
        """A blob is about to be written: what we knew of one under this name says nothing any more."""
        self._index.forget_blob(self._place(), key)

    def _file_under(self, key: str) -> None:
        try:
            address, _ = checked_blob_key(key)
        except Refused:
            return
        self._by_address.setdefault(address, []).append(key)

    def _known(self, key: str) -> Known | None:
        if self._index.is_damaged(self._place(), key):
            return None
        found = self._index.blob(self._place(), key)
        if found is None and (digest := self._from_earlier().get(key)):
            found = Known(digest)
            self._index.remember_blob(self._place(), key, found)
        return found or self._read_back(key)

    def _from_earlier(self) -> dict[str, Digest]:
        """What the backups on this target say of their blobs; what cannot be read says nothing."""
        with self._turn:
            if self._earlier is None:
                self._earlier = {}
                for shelved in self._shelf.manifests()[0].values():
                    try:
                        self._earlier.update({b.key: b.stored for b in blobs_of(self._target, shelved.manifest)})
                    except OpsError:
                        continue
            return self._earlier

    def _read_back(self, key: str) -> Known | None:
        """A blob of a dead run: its name proves it; one that is encrypted proves nothing and is written anew."""
        address, encodings = checked_blob_key(key)
        if "age" in encodings:
            return None
        stored, plain = Counted(lambda _: None), Counted(lambda _: None)

        def passing() -> Iterator[bytes]:
            for chunk in self._target.read(pool_prefix(self._stack_id) + key):
                stored.write(chunk)
                yield chunk

        try:
            for chunk in undone(passing(), encodings, where=f"{self._target.name}: {key}"):
                plain.write(chunk)
        except OpsError:
            return None
        if plain.digest.sha256 != address:
            return None
        found = Known(stored.digest, plain.digest)
        self._index.remember_blob(self._place(), key, found)
        return found

    def _place(self) -> str:
        """The target's own mark: its name may come to mean another place."""
        with self._turn:
            self._mark = self._mark or place_mark(self._target, self._stack_id)
            return self._mark


def place_mark(target: Target, stack_id: str) -> str:
    """A target's own mark, made at first use."""
    key = place_key(stack_id)
    if target.size(key) is None:
        target.put(key, os.urandom(16).hex().encode())
    return b"".join(target.read(key))[:64].decode("ascii", "replace")


def note_damaged(target: Target, stack_id: str, index: Path, keys: Iterable[str]) -> None:
    """Have damaged blobs of a target written anew by the next backup that needs them.

    Args:
        index: See `PoolWriter`.
    """
    place, opened = place_mark(target, stack_id), PoolIndex(index)
    try:
        for key in keys:
            opened.remember_damage(place, key)
    finally:
        opened.close()


def note_written(target: Target, stack_id: str, index: Path, blobs: Mapping[str, Digest]) -> None:
    """Note blobs that were written to a target by something else than a backup."""
    place, opened = place_mark(target, stack_id), PoolIndex(index)
    try:
        for key, stored in blobs.items():
            opened.remember_blob(place, key, Known(stored))
    finally:
        opened.close()

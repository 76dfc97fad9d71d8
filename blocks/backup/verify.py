"""Reading a backup back at level `bytes`: every stored hash, and every problem, not only the first."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from blocks.backup.pool_blobs import blobs_of
from blocks.backup.reader import read_stored
from blocks.backup.shelf import Shelf
from compose.stack.backup.layout import backup_prefix, pool_prefix
from compose.stack.backup.listing import Blob
from compose.stack.backup.manifest import MANIFEST, RUNBOOK, SIGNATURE, Digest, Manifest
from compose.stack.backup.records import Verified
from compose.stack.errors import Damaged, OpsError, Refused

OWN = {MANIFEST, SIGNATURE, f"{SIGNATURE}.new", RUNBOOK}


@dataclass(frozen=True)
class Verification:
    """What was looked at, and all that is wrong.

    Only what is wrong speaks against the backup; with something unread it has neither passed nor failed.

    Args:
        files: How many of the backup's own files were read; `bytes`: of everything that was read.
        blobs: How many blobs it names; `blobs_read`: how many of them were read, the others were only seen there.
        sample: The fraction of the blobs' bytes that was asked for; `seed` chose them.
        problems: What is missing, or is not what was recorded; `unread`: what could not be read, and why.
        damaged: Keys of the blobs that were read and are not what was written.
        foreign: It was signed by a key that only `trust` made good.
        notes: What is odd and harms nothing.
    """

    backup: str
    target: str
    files: int
    bytes: int
    blobs: int
    blobs_read: int
    sample: float
    seed: int
    problems: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    foreign: bool = False

    @property
    def passed(self) -> bool:
        """True when all of it was read and nothing is wrong."""
        return not self.problems and not self.unread

    @property
    def fact(self) -> Verified | None:
        """As a record beside the backup; None where nothing can be said of it."""
        if self.unread and not self.problems:
            return None
        details: dict[str, str | int | float | bool | None] = {
            "files": self.files, "bytes": self.bytes, "blobs": self.blobs, "blobs_read": self.blobs_read,
            "sample": self.sample, "seed": self.seed,
        }  # fmt: skip
        return Verified(level="bytes", passed=self.passed, problems=self.problems[:50], details=details)


def verify_bytes(
    shelf: Shelf,
    backup: str,
    *,
    sample: float = 1.0,
    seed: int = 0,
    trust: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> Verification:
    """Read a backup's files and its blobs, and compare sizes and hashes with the manifest.

    It proves that what lies there is what was written; only `content` proves that a store can read it.

    Args:
        sample: Fraction of the blobs that is read, 0 to 1; the others are only seen there with their sizes.
        seed: Chooses them.
        trust: Accept a manifest that a key signed which this home does not know.
        progress: Told the bytes that were read since the last call.

    Raises:
        Failed: There is no such backup.
        Refused: Its manifest cannot be trusted or read.
    """
    shelved = shelf.manifest(backup, trust=trust)
    manifest = shelved.manifest
    reading = _Reading(shelf, progress)
    prefix = backup_prefix(shelf.stack_id, backup)
    there = {entry.key[len(prefix) :] for entry in shelf.target.list(prefix)}
    for file in manifest.files:
        reading.read(file.path, prefix + file.path, file.stored)
    if RUNBOOK not in there:
        reading.problems.append(f"{RUNBOOK}: is missing")
    known = {file.path for file in manifest.files} | OWN
    extra = sorted(name for name in there if name not in known and not name.startswith("records/"))
    blobs = reading.blobs(manifest)
    chosen = sampled(blobs, sample, seed)
    _present(shelf, blobs, reading.problems)
    damaged = [
        blob.key
        for blob in chosen
        if not reading.read(f"pool/{blob.key}", pool_prefix(shelf.stack_id) + blob.key, blob.stored)
    ]
    return Verification(
        backup=backup, target=shelf.target.name, files=len(manifest.files), bytes=reading.bytes, blobs=len(blobs),
        blobs_read=len(chosen), sample=sample, seed=seed, problems=tuple(dict.fromkeys(reading.problems)),
        unread=tuple(dict.fromkeys(reading.unread)),
        notes=tuple(f"{name}: no part of the backup" for name in extra), damaged=tuple(damaged),
        foreign=shelved.signer.foreign,
    )  # fmt: skip


class _Reading:
    """Reads objects; keeps what is wrong with them, and why some could not be read."""

    def __init__(self, shelf: Shelf, progress: Callable[[int], None]) -> None:
        self._shelf, self._progress = shelf, progress
        self.problems: list[str] = []
        self.unread: list[str] = []
        self.bytes = 0

    def read(self, name: str, key: str, digest: Digest) -> bool:
        """Whether nothing was found wrong with it."""
        try:
            for chunk in read_stored(self._shelf.target, key, digest, where=name):
                self.bytes += len(chunk)
                self._progress(len(chunk))
        except Damaged as error:
            self.problems.append(f"{name}: {error.what}")
            return False
        except OpsError as error:
            self.unread.append(f"{name}: {error.what}")
        return True

    def blobs(self, manifest: Manifest) -> list[Blob]:
        """Every blob that the backup names, once."""
        try:
            return list({blob.key: blob for blob in blobs_of(self._shelf.target, manifest)}.values())
        except (Damaged, Refused) as error:
            self.problems.append(f"the list of blobs: {error.what}")
        except OpsError as error:
            self.unread.append(f"the list of blobs: {error.what}")
        return []


def sampled(blobs: list[Blob], sample: float, seed: int) -> list[Blob]:
    """A part of the blobs, at least one where there are any."""
    if sample >= 1 or not blobs:
        return blobs
    count = min(len(blobs), max(1, round(len(blobs) * sample)))
    return random.Random(seed).sample(sorted(blobs, key=lambda blob: blob.key), count)


def _present(shelf: Shelf, blobs: list[Blob], problems: list[str]) -> None:
    """All blobs are there with their sizes, by one listing for each set."""
    prefix = pool_prefix(shelf.stack_id)
    sizes: dict[str, int] = {}
    for name in {blob.key.split("/")[0] for blob in blobs}:
        sizes.update((e.key[len(prefix) :], e.size) for e in shelf.target.list(pool_prefix(shelf.stack_id, name)))
    for blob in blobs:
        size = sizes.get(blob.key)
        if size is None:
            problems.append(f"pool/{blob.key}: is missing")
        elif size != blob.stored.bytes:
            problems.append(f"pool/{blob.key}: has {size} bytes, recorded were {blob.stored.bytes}")

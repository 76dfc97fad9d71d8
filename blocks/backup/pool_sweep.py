"""Removing blobs that no backup names any more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from blocks.backup.pool_blobs import blobs_of
from blocks.backup.shelf import Shelf
from compose.stack.backup.layout import pool_prefix
from compose.stack.errors import OpsError

AGE = timedelta(hours=48)


@dataclass(frozen=True)
class Swept:
    """What a sweep did.

    Args:
        removed: Keys below the pool; `bytes`: what they took.
        kept: How many blobs stay.
        held: Why nothing was removed; empty when it was not held.
    """

    removed: tuple[str, ...] = ()
    bytes: int = 0
    kept: int = 0
    held: str = ""


def sweep_pool(shelf: Shelf, now: datetime, *, age: timedelta = AGE, apply: bool = True) -> Swept:
    """Remove blobs that are unreferenced and older than 48 hours; nothing when any manifest cannot be read.

    Nothing either while a backup may be under way: it may name blobs that nobody names yet.

    Args:
        now: Aware; by our clock.
        age: How old.
        apply: False only tells what would go.
    """
    limit = now + timedelta(seconds=shelf.target.skew()) - age
    survey = shelf.survey()
    found, errors = shelf.manifests()
    if errors:
        name, error = next(iter(sorted(errors.items())))
        return Swept(held=f"{len(errors)} manifests cannot be read: {name}: {error.what}")
    young = [name for name, entries in survey.leftovers.items() if any(e.modified >= limit for e in entries)]
    if young and age:
        return Swept(held=f"{', '.join(sorted(young))} may still be written")
    named: set[str] = set()
    for shelved in found.values():
        try:
            named.update(blob.key for blob in blobs_of(shelf.target, shelved.manifest))
        except OpsError as error:
            return Swept(held=f"the list of blobs of {shelved.manifest.id} cannot be read: {error.what}")
    prefix = pool_prefix(shelf.stack_id)
    entries = list(shelf.target.list(prefix))
    gone = [e for e in entries if e.key[len(prefix) :] not in named and e.modified < limit]
    for entry in gone if apply else ():
        shelf.target.delete(entry.key)
    removed = tuple(entry.key[len(prefix) :] for entry in gone)
    return Swept(removed, sum(entry.size for entry in gone), len(entries) - len(gone))

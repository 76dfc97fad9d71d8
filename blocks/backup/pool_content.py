"""Reading the pooled files of a component back to their plain bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from blocks.backup.identities import Identities
from blocks.backup.pool_blobs import filed_of, lines_of
from blocks.backup.reader import decoded, read_stored
from blocks.backup.verify import sampled
from blocks.targets.base import Target
from compose.stack.backup.archive_format import Entry, index_line
from compose.stack.backup.layout import checked_blob_key, pool_prefix
from compose.stack.backup.listing import Blob, Filed, parse_blob
from compose.stack.backup.manifest import ComponentRecord, Digest, Manifest
from compose.stack.errors import Damaged, OpsError


@dataclass
class PoolRead:
    """What was found.

    Args:
        bytes: Plain bytes that were read.
        unread: What could not be read, and why: no fault of the backup.
        damaged: Keys of the blobs that do not hold what they are listed for.
        tree: SHA-256 over the list of files, as `Totals` reckons it.
    """

    bytes: int = 0
    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    tree: str = ""


def read_pool(
    target: Target,
    manifest: Manifest,
    component: ComponentRecord,
    identities: Identities,
    *,
    sample: float = 1.0,
    seed: int = 0,
) -> PoolRead:
    """Open every blob of a component, and compare it with the file that it is listed for.

    What is stored as it is was read when its bytes were verified: it is only compared by its hash.

    Args:
        sample: Fraction of the blobs that is read, chosen by `seed`.

    Raises:
        Damaged: A list is missing or is not what was written.
        Failed: A list cannot be read.
        Refused: A list is not as it should be, or there is no key.
    """
    found, tree, seen = PoolRead(), hashlib.sha256(), dict[str, Digest]()
    lines = lines_of(target, manifest, component.pool.blobs) if component.pool else ()
    blobs = {blob.key: blob for blob in map(parse_blob, lines)}
    chosen = {blob.key for blob in sampled(list(blobs.values()), sample, seed)}
    for filed in filed_of(target, manifest, component, identities):
        tree.update(_index_line(filed))
        if filed.blob is None or filed.sha256 is None:
            continue
        plain = Digest(sha256=filed.sha256, bytes=filed.size)
        if filed.blob not in blobs:
            found.problems.append(f"{filed.path}: its blob {filed.blob} is not in the list of blobs")
        elif filed.blob not in seen and filed.blob in chosen:
            _read(target, manifest, blobs[filed.blob], plain, identities, found)
        elif seen.get(filed.blob, plain) != plain:
            found.problems.append(f"{filed.path}: its blob {filed.blob} is that of another file")
        seen.setdefault(filed.blob, plain)
    found.tree = tree.hexdigest()
    return found


def _read(
    target: Target, manifest: Manifest, blob: Blob, plain: Digest, identities: Identities, found: PoolRead
) -> None:
    _, encodings = checked_blob_key(blob.key)
    name = f"pool/{blob.key}"
    if not encodings:
        if blob.stored != plain:
            found.problems.append(f"{name}: holds other bytes than the file that it is listed for")
            found.damaged.append(blob.key)
        return
    try:
        stored = read_stored(target, pool_prefix(manifest.stack_id) + blob.key, blob.stored, where=name)
        for chunk in decoded(stored, encodings, plain, identities, where=name):
            found.bytes += len(chunk)
    except Damaged as error:
        found.problems.append(f"{name}: {error.what}")
        found.damaged.append(blob.key)
    except OpsError as error:
        found.unread.append(f"{name}: {error.what}")


def _index_line(filed: Filed) -> bytes:
    entry = Entry(
        filed.path, filed.kind, filed.mode, filed.uid, filed.gid, filed.mtime, filed.size, filed.link or ""
    )
    return index_line(entry, filed.sha256 or "")

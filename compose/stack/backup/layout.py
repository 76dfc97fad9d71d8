"""Where things lie on a target: every key is made here, and nowhere else."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from compose.stack.backup.ids import checked_id
from compose.stack.backup.manifest import Encoding
from compose.stack.errors import Refused

CLAIMS = "stacks/"
"""Prefix of one small object per stack: who uses this target, found without listing everything."""
CLEAR = "clear"
ENDINGS: dict[str, str] = {"zstd": ".zst", "age": ".age"}
STACK_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}-[0-9a-f]{8}", re.ASCII)
BLOB = re.compile(r"(clear|[0-9a-f]{16})/([0-9a-f]{2})/([0-9a-f]{64})(-[0-9a-f]{8})?(\.zst)?(\.age)?", re.ASCII)
RECORD = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}\.json", re.ASCII)


def checked_stack_id(text: str) -> str:
    """A stack's identity that a target or a person gave.

    Raises:
        Refused: It is none.
    """
    if not STACK_ID.fullmatch(text):
        raise Refused(f"{text[:80]!r} is no stack's identity", next="./ops backups lists what is there")
    return text


def backups_prefix(stack_id: str) -> str:
    """What the keys of all backups of a stack begin with."""
    return f"{checked_stack_id(stack_id)}/backups/"


def backup_prefix(stack_id: str, backup: str) -> str:
    """What the keys of one backup begin with."""
    return f"{backups_prefix(stack_id)}{checked_id(backup)}/"


def records_prefix(stack_id: str, backup: str) -> str:
    """What the keys of a backup's later facts begin with."""
    return f"{backup_prefix(stack_id, backup)}records/"


def record_name(at: datetime, random: bytes) -> str:
    """A new record's file name; names sort by time."""
    return f"{at.astimezone(UTC).strftime('%Y%m%dT%H%M%SZ')}-{random[:4].hex()}.json"


def pool_prefix(stack_id: str, blobs: str = "") -> str:
    """What the keys of a stack's pool begin with.

    Args:
        blobs: Name of one set of blobs (see `recipient_set`); all sets when empty.
    """
    return f"{checked_stack_id(stack_id)}/pool/" + (f"{blobs}/" if blobs else "")


def identity_key(stack_id: str) -> str:
    """Key of a stack's identity."""
    return f"{checked_stack_id(stack_id)}/identity.json"


def public_key_key(stack_id: str) -> str:
    """Key of the public key that a stack's backups are signed with, for standard tools."""
    return f"{checked_stack_id(stack_id)}/public.pem"


def place_key(stack_id: str) -> str:
    """Key of a random mark that tells one target from another, whatever they are called."""
    return f"{checked_stack_id(stack_id)}/place"


def claim_key(stack_id: str) -> str:
    """Key of the note that a stack uses this target."""
    return f"{CLAIMS}{checked_stack_id(stack_id)}.json"


def recipient_set(recipients: Iterable[str]) -> str:
    """Name of the blobs that exactly these recipients can open; `clear` for none."""
    found = sorted(set(recipients))
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:16] if found else CLEAR


def stored_path(path: str, encodings: Iterable[Encoding]) -> str:
    """A file's name on a target: its plain name and an ending for each encoding."""
    return path + "".join(ENDINGS[encoding] for encoding in encodings)


def plain_path(path: str, encodings: tuple[Encoding, ...]) -> str:
    """A file's plain name: its name on a target without the endings."""
    for encoding in reversed(encodings):
        path = path.removesuffix(ENDINGS[encoding])
    return path


def encodings_of(*, compress: bool, sealed: bool) -> tuple[Encoding, ...]:
    """The encodings in the order in which they are applied."""
    first: tuple[Encoding, ...] = ("zstd",) if compress else ()
    return (*first, "age") if sealed else first


def blob_key(blobs: str, address: str, encodings: Iterable[Encoding], nonce: str = "") -> str:
    """Key of a blob below the pool.

    Args:
        blobs: Name of the set, see `recipient_set`.
        address: SHA-256 that it is known by, in hexadecimal.
        nonce: Eight hexadecimal digits, where the usual name is taken by other stored bytes.
    """
    name = stored_path(f"{address}-{nonce}" if nonce else address, encodings)
    return f"{blobs}/{address[:2]}/{name}"


def checked_blob_key(key: str) -> tuple[str, tuple[Encoding, ...]]:
    """What a blob is known by, and how it is encoded.

    Raises:
        Refused: It is no key of a blob.
    """
    found = BLOB.fullmatch(key)
    if not found or found[2] != found[3][:2] or (found[1] == CLEAR) == bool(found[6]):
        raise Refused(f"{key[:120]!r} is no blob's key", next="do not use what names it")
    return found[3], encodings_of(compress=bool(found[5]), sealed=bool(found[6]))

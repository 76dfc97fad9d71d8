"""Stored bytes back to plain ones: never more than was recorded, and checked at both ends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import IO, cast

import zstandard

from blocks.backup.identities import NOBODY, Identities
from blocks.backup.pull import Pull
from blocks.backup.sealing import opened
from blocks.targets.base import Target
from compose.stack.backup.layout import backup_prefix
from compose.stack.backup.manifest import Digest, Encoding, FileRecord
from compose.stack.backup.reading import bomb
from compose.stack.errors import Damaged, Refused

PIECE = 512 * 1024
WINDOW = 32 * 1024 * 1024
"""Bytes that a frame may make the decompressor keep; ours take 2 MiB."""
ELSEWHERE = "another target, or another backup"


def read_file(
    target: Target, stack_id: str, backup: str, record: FileRecord, identities: Identities = NOBODY
) -> Iterator[bytes]:
    """The plain bytes of one file of a backup.

    What comes out before the end may be followed by an error: keep nothing of it until it ended.

    Args:
        identities: Keys, where the file is encrypted.

    Raises:
        Damaged: It is missing, truncated, changed, or not what was recorded; names target, backup and file.
        Refused: It is encrypted and there is no key.
    """
    where = f"{target.name}: {backup}/{record.path}"
    if bomb(record):
        raise Refused(f"claims {record.plain.bytes} bytes in {record.stored.bytes}", where=where)
    stored = read_stored(target, backup_prefix(stack_id, backup) + record.path, record.stored, where=where)
    yield from decoded(stored, record.encodings, record.plain, identities, where=where)


def read_stored(target: Target, key: str, digest: Digest, *, where: str) -> Iterator[bytes]:
    """An object as it lies on a target, checked at the end.

    Raises:
        Damaged: It is missing, or not what was recorded.
    """
    size = target.size(key)
    if size is None:
        raise Damaged("is missing", where=where, next=ELSEWHERE)
    if size != digest.bytes:
        raise Damaged(f"has {size} bytes, recorded were {digest.bytes}", where=where, next=ELSEWHERE)
    yield from checked(target.read(key), digest, "stored", where=where)


def decoded(
    stored: Iterator[bytes], encodings: tuple[Encoding, ...], plain: Digest, identities: Identities, *, where: str
) -> Iterator[bytes]:
    """Undo the encodings; ends with an error when the plain bytes are not those that were recorded.

    Args:
        stored: Bytes as they lie on a target; read to their end, so that their own check takes place.
    """
    yield from checked(undone(stored, encodings, identities, where=where), plain, "plain", where=where)


def undone(
    stored: Iterator[bytes], encodings: tuple[Encoding, ...], identities: Identities = NOBODY, *, where: str
) -> Iterator[bytes]:
    """Undo the encodings; nothing tells what should come out, so bound it yourself."""
    chunks = opened(stored, identities, where=where) if "age" in encodings else stored
    if "zstd" in encodings:
        chunks = _unpacked(chunks, where)
    yield from chunks
    for _ in stored:
        raise Damaged("has bytes after its end", where=where, next=ELSEWHERE)


def checked(chunks: Iterator[bytes], digest: Digest, what: str, *, where: str) -> Iterator[bytes]:
    """Pass bytes on, never more than recorded, and compare them at the end.

    Raises:
        Failed: They are more, fewer, or others.
    """
    found, count = hashlib.sha256(), 0
    for chunk in chunks:
        count += len(chunk)
        if count > digest.bytes:
            raise Damaged(f"holds more than the {digest.bytes} {what} bytes recorded", where=where, next=ELSEWHERE)
        found.update(chunk)
        yield chunk
    if count != digest.bytes:
        raise Damaged(f"ends after {count} of {digest.bytes} {what} bytes", where=where, next=ELSEWHERE)
    if found.hexdigest() != digest.sha256:
        raise Damaged(f"was changed: the hash of its {what} bytes differs", where=where, next=ELSEWHERE)


def _unpacked(chunks: Iterator[bytes], where: str) -> Iterator[bytes]:
    source = cast(IO[bytes], Pull(chunks))
    reader = zstandard.ZstdDecompressor(max_window_size=WINDOW).stream_reader(source, read_across_frames=True)
    try:
        while piece := reader.read(PIECE):
            yield piece
    except zstandard.ZstdError as error:
        raise Damaged(f"cannot be decompressed: {error}", where=where, next=ELSEWHERE) from None

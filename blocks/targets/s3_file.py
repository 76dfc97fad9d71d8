"""A local file on its way to S3, which goes on where an earlier attempt stopped."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Protocol

from blocks.targets.part import file_window
from blocks.targets.s3_api import Pending, S3Api, SentPart
from blocks.targets.s3_errors import Answered
from blocks.targets.s3_parts import PartSender, prove_size
from compose.stack.backup.parts import part_size
from compose.stack.errors import Failed

_log = logging.getLogger("ops.targets")


class Reader(Protocol):
    """Reads an object back."""

    def __call__(self) -> Iterator[bytes]:
        """All its bytes."""


@dataclass(frozen=True)
class _File:
    path: Path
    handle: int
    size: int
    sha256: str


def put_file(api: S3Api, key: str, path: Path, sha256: str, read_back: Reader) -> None:
    """Upload a file.

    An earlier upload of the same key goes on when all its parts have the sizes that this file's parts have.
    Such an object is read back, since nothing else proves what those parts held; when it is not the file, or
    the server does not take the rest, it is sent from its beginning.

    Args:
        key: The full key.
        read_back: Reads the same object.

    Raises:
        Failed: It is not the file that the hash is of, or was not taken.
    """
    try:
        with path.open("rb", buffering=0) as opened:
            file = _File(path, opened.fileno(), os.fstat(opened.fileno()).st_size, sha256)
            size = part_size(file.size)
            if file.size <= size:
                _put_whole(api, key, file)
                return
            earlier = _earlier(api, key, file.size, size)
            if earlier and _resumed(api, key, file, size, *earlier) and _is_that(read_back(), sha256):
                return
            _send_rest(api, key, file, size, None, {})
    except OSError as error:
        raise Failed(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def _put_whole(api: S3Api, key: str, file: _File) -> None:
    _must_be(file, _hash_of(file, 0, file.size, hashlib.sha256()))
    api.put(key, file_window(file.handle, 0, file.size, Event()))
    prove_size(api, key, file.size)


def _earlier(api: S3Api, key: str, total: int, size: int) -> tuple[Pending, list[SentPart]] | None:
    """The latest upload of this key that this file could go on with."""
    waiting = [pending for pending in api.pending(key) if pending.key == key]
    for pending in sorted(waiting, key=lambda one: one.begun, reverse=True):
        try:
            parts = api.parts(key, pending.upload)
        except Answered as error:
            if error.code_there not in ("NoSuchUpload", "NotImplemented"):
                raise
            continue
        if parts and all(part.size == _length(part.number, total, size) for part in parts):
            return pending, parts
    return None


def _resumed(api: S3Api, key: str, file: _File, size: int, pending: Pending, parts: list[SentPart]) -> bool:
    """Send what is missing of an earlier upload; whether the server could do that."""
    _log.info("%s: goes on with %d parts that are there already", key, len(parts))
    try:
        _send_rest(api, key, file, size, pending, {part.number: part.tag for part in parts})
    except Answered as error:
        if error.code_there not in ("NotImplemented", "NoSuchUpload", "InvalidPart", "InvalidPartOrder"):
            raise
        _log.info("%s: starts again: %s", key, error.what)
        PartSender(api, key, pending.upload, None).abort()
        return False
    return True


def _send_rest(
    api: S3Api, key: str, file: _File, size: int, pending: Pending | None, there: dict[int, str]
) -> None:
    """Send every part that is not there, and complete; an upload that fails stays for the next attempt."""
    upload, begun = (pending.upload, pending.begun) if pending else api.create(key)
    sender = PartSender(api, key, upload, begun)
    try:
        found = hashlib.sha256()
        for number, start in enumerate(range(0, file.size, size), start=1):
            length = _length(number, file.size, size)
            if number not in there:
                sender.send(number, file_window(file.handle, start, length, sender.cancelled))
            _hash_of(file, start, length, found)
        _must_be(file, found)
        sender.complete(file.size, there)
    except BaseException:
        sender.stop()
        raise


def _length(number: int, total: int, size: int) -> int:
    """Bytes of one part of a file whose parts are even; 0 for parts that it does not have."""
    return max(0, min(size, total - (number - 1) * size))


def _hash_of(file: _File, start: int, length: int, found: hashlib._Hash) -> hashlib._Hash:
    window = file_window(file.handle, start, length, Event())
    while chunk := window.read(1024**2):
        found.update(chunk)
    return found


def _must_be(file: _File, found: hashlib._Hash) -> None:
    if found.hexdigest() != file.sha256:
        raise Failed("its bytes are not those of the SHA-256 that was asked for", where=str(file.path))


def _is_that(chunks: Iterator[bytes], sha256: str) -> bool:
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return found.hexdigest() == sha256

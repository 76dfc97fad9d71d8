"""An object's bytes from S3: a body that is cut is asked for again from there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

from blocks.targets.base import CHUNK
from blocks.targets.s3_api import S3Api
from blocks.targets.s3_errors import Answered, in_words
from compose.stack.errors import Failed

ATTEMPTS = 4
"""How often in a row a body may end before one more chunk came."""
_PAUSE = 0.2


def read_object(api: S3Api, key: str, start: int, length: int | None) -> Iterator[bytes]:
    """All bytes, or an exact stretch of them.

    Args:
        key: The full key.
        start: Of the first byte.
        length: Bytes; to the end when None.

    Raises:
        Failed: It is gone, shorter than that, replaced meanwhile, or the server keeps cutting it.
    """
    head = api.head(key)
    if head is None:
        raise Failed("is not there", where=api.where(key), next="./ops backups lists what is")
    end = head.size if length is None else start + length
    if max(start, end) > head.size:
        raise Failed(f"has {head.size} bytes, not the {max(start, end)} that were asked for", where=api.where(key))
    at, fruitless = start, 0
    while at < end:
        before = at
        for chunk in _until_cut(api, key, at, end, head.size):
            at += len(chunk)
            yield chunk
        fruitless = 0 if at > before else fruitless + 1
        if fruitless == ATTEMPTS:
            raise Failed(f"cut short at byte {at} of {end}", where=api.where(key), next="the same again")
        if at < end:
            time.sleep(_PAUSE * 2**fruitless)


def _until_cut(api: S3Api, key: str, at: int, end: int, total: int) -> Iterator[bytes]:
    """What one request gives of a stretch; it ends early when the connection does."""
    try:
        body, size = api.get(key, at, end)
        with closing(body):
            if size != total:
                raise Failed("was replaced while it was read", where=api.where(key))
            while at < end:
                with in_words("read", api.where(key)):
                    chunk = body.read(min(CHUNK, end - at))
                if not chunk:
                    return
                at += len(chunk)
                yield chunk
    except Answered as error:
        if error.code_there:  # else no answer or half of one: the connection was cut
            raise

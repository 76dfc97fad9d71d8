"""Streams on their way to S3: cut into parts under the one budget of memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from threading import Event

from blocks.targets.memory import Budget
from blocks.targets.part import Part
from blocks.targets.s3_api import S3Api
from blocks.targets.s3_parts import PartSender, prove_size
from compose.stack.backup.parts import next_part_size, part_size
from compose.stack.errors import Failed, OpsError


class S3Upload:
    """One stream; small ones are written with one call."""

    def __init__(self, api: S3Api, key: str, estimate: int, budget: Budget, spool: Path | None = None) -> None:
        self._api, self._key, self._budget, self._spool = api, key, budget, spool
        self._size, self._total, self._number = part_size(estimate), 0, 0
        self._part: Part | None = None
        self._sender: PartSender | None = None
        self._closed = False

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes; see `Upload`."""
        self._must_be_open()
        with memoryview(data) as whole, whole.cast("B") as rest:
            at = 0
            while at < len(rest):
                if self._part is not None and self._part.full:
                    self._send()
                part = self._part or self._new_part()
                at += self._filled(part, rest[at:])
        self._total += at

    def commit(self) -> None:
        """Complete the object; see `Upload`."""
        self._must_be_open()
        if self._sender is None:
            body = self._part.body(Event()) if self._part else b""
            self._api.put(self._key, body)
            prove_size(self._api, self._key, self._total)
        else:
            self._send()
            self._sender.complete(self._total, {})
        self._closed = True
        self._drop_part()

    def abort(self) -> None:
        """Leave nothing behind; see `Upload`."""
        if self._closed:
            return
        self._closed = True
        self._drop_part()
        if self._sender:
            self._sender.abort()

    def _send(self) -> None:
        assert self._part is not None
        if self._sender is None:
            self._sender = PartSender(self._api, self._key, *self._api.create(self._key))
        part, self._part = self._part, None
        self._sender.send(part.number, part.body(self._sender.cancelled), part.close)

    def _new_part(self) -> Part:
        self._number += 1
        self._size = next_part_size(self._number, self._size)
        try:
            self._part = Part(self._number, self._size, self._budget, self._spool)
        except OSError as error:
            raise _no_spool(error, self._spool) from error
        return self._part

    def _filled(self, part: Part, data: memoryview) -> int:
        try:
            return part.write(data)
        except OSError as error:
            raise _no_spool(error, self._spool) from error

    def _drop_part(self) -> None:
        if self._part:
            self._part.close()
            self._part = None

    def _must_be_open(self) -> None:
        if self._closed:
            raise Failed("the upload has ended", where=self._api.where(self._key))


def _no_spool(error: OSError, spool: Path | None) -> OpsError:
    where = str(spool or tempfile.gettempdir())
    return Failed(
        f"a part that waits to be sent cannot be kept: {error.strerror or error}",
        where=where,
        next=f"df -h {where}, or another TMPDIR",
    )

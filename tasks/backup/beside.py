"""A check that reads a stream along, on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from blocks.backup.pipe import Broken, Pipe
from compose.stack.errors import Damaged, OpsError
from tasks.backup.procedure import Check

Reads = Callable[[Pipe], dict[str, Any]]


class Abandoned(Exception):
    """The stream broke off."""


class Beside:
    """Obeys `tasks.backup.procedure.Check` by a function that pulls what is pushed here.

    Only what speaks against the stream is an error: where the machine failed, what was found is `unproven`, why.

    Args:
        reads: Reads the whole stream; what it found. What it leaves unread is read for it.
        where: The file, for errors.
    """

    def __init__(self, reads: Reads, where: str) -> None:
        self._pipe, self._where = Pipe(), where
        self._found: dict[str, Any] = {}
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, args=(reads,), name=f"check {where}", daemon=True)
        self._thread.start()

    def _work(self, reads: Reads) -> None:
        try:
            self._found = self._read(reads)
            while self._pipe.read(1 << 20):
                pass
        except BaseException as error:  # noqa: BLE001 - handed to whoever writes or finishes
            self._error = error
            self._pipe.fail(error)

    def _read(self, reads: Reads) -> dict[str, Any]:
        try:
            return reads(self._pipe)
        except Damaged:
            raise
        except OpsError as error:
            return {"unproven": [error.what]}
        except (OSError, MemoryError) as error:
            return {"unproven": [f"{type(error).__name__}: {error}"]}

    def write(self, data: bytes | memoryview) -> None:
        """See `Check`."""
        try:
            self._pipe.write(bytes(data))
        except Broken:
            self._thread.join()
            raise self._failure() from None

    def finish(self) -> dict[str, Any]:
        """See `Check`."""
        self._pipe.end()
        self._thread.join()
        if self._error is not None:
            raise self._failure() from None
        return self._found

    def abandon(self) -> None:
        """See `Check`."""
        self._pipe.fail(Abandoned())
        self._thread.join()

    def _failure(self) -> OpsError:
        error = self._error
        if isinstance(error, OpsError):
            return Damaged(error.what, where=error.where or self._where, next=error.next)
        return Damaged(f"its content cannot be read: {type(error).__name__}: {error}", where=self._where)


class Together:
    """Several checks of one stream; what they found is laid together."""

    def __init__(self, *checks: Check) -> None:
        self._checks = checks

    def write(self, data: bytes | memoryview) -> None:
        """See `Check`."""
        for check in self._checks:
            check.write(data)

    def finish(self) -> dict[str, Any]:
        """See `Check`."""
        found: dict[str, Any] = {}
        try:
            for check in self._checks:
                found = laid_together(found, check.finish())
        except BaseException:
            self.abandon()
            raise
        return found

    def abandon(self) -> None:
        """See `Check`."""
        for check in self._checks:
            check.abandon()


def laid_together(found: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """What two checks found; what neither could tell is a list."""
    unproven = [*found.get("unproven", ()), *more.get("unproven", ())]
    return {**found, **more, **({"unproven": unproven} if unproven else {})}

"""One stream to several targets at once: one that fails is dropped, the others go on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from queue import Queue
from threading import Thread

from blocks.targets.base import Upload
from compose.stack.errors import Failed, OpsError

PIECE = 1024**2
"""Bytes that a target takes at once."""
DEPTH = 2
"""Pieces that wait for each target."""
_log = logging.getLogger("ops.targets")


class FanOut:
    """Writes the same bytes to several uploads, each from a thread of its own.

    The slowest target sets the pace, and no more than three pieces wait for any of them.

    Args:
        uploads: By the target's name; this object ends all of them.
    """

    def __init__(self, uploads: Mapping[str, Upload]) -> None:
        self._lanes = {name: _Lane(name, upload) for name, upload in uploads.items()}
        self._ended = False

    @property
    def errors(self) -> dict[str, OpsError]:
        """What made targets drop out so far."""
        return {name: lane.error for name, lane in self._lanes.items() if lane.error}

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes to every upload that lives; the caller may use the buffer again afterwards.

        Raises:
            Failed: No target takes any more, or it has ended.
        """
        if self._ended:
            raise Failed("the uploads have ended")
        self._some_live()
        for piece in _pieces(data):
            for lane in self._lanes.values():
                lane.put(piece)

    def commit(self) -> dict[str, OpsError | None]:
        """Complete the object on every target that lives; what became of each.

        Raises:
            Failed: All of them failed.
        """
        self._end({name: lane.upload.commit for name, lane in self._lanes.items()})
        self._some_live()
        return {name: lane.error for name, lane in self._lanes.items()}

    def abort(self) -> None:
        """Leave nothing behind anywhere; does nothing after `commit` or a second time, and never raises."""
        self._end({name: lane.upload.abort for name, lane in self._lanes.items()})

    def _end(self, last: Mapping[str, Callable[[], None]]) -> None:
        """Let every lane take its last step, all at the same time."""
        self._ended = True
        for name, lane in self._lanes.items():
            lane.end(last[name])
        for lane in self._lanes.values():
            lane.join()

    def _some_live(self) -> None:
        crashes = [lane.crash for lane in self._lanes.values() if lane.crash]
        if crashes:
            raise crashes[0]
        if len(self.errors) == len(self._lanes):
            raise Failed(
                "no target takes it: " + "; ".join(f"{name}: {error}" for name, error in self.errors.items()),
                next="see that one of them answers, then the same again",
            )


class _Lane:
    """One upload with its thread; what fails is kept, and all that comes later is thrown away."""

    def __init__(self, name: str, upload: Upload) -> None:
        self.name, self.upload = name, upload
        self.error: OpsError | None = None
        self.crash: BaseException | None = None
        self._queue: Queue[memoryview | None] = Queue(DEPTH)
        self._last: Callable[[], None] | None = None
        self._thread = Thread(target=self._run, name=f"ops-target-{name}", daemon=True)
        self._thread.start()

    def put(self, piece: memoryview) -> None:
        """Hand over some bytes, waiting for room."""
        if not self._gone:
            self._queue.put(piece)

    def end(self, last: Callable[[], None]) -> None:
        """Say that no more bytes come, and what is done after them; only the first time counts."""
        if self._last is None:
            self._last = last
            self._queue.put(None)

    def join(self) -> None:
        """Wait until the thread has ended."""
        self._thread.join()

    @property
    def _gone(self) -> bool:
        return bool(self.error or self.crash)

    def _run(self) -> None:
        for piece in iter(self._queue.get, None):
            if not self._gone:
                self._guarded(lambda piece=piece: self.upload.write(piece))  # type: ignore[misc]
        if self._last is not None and not self._gone:
            self._guarded(self._last)

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OpsError as error:
            self.error = error
            _log.warning("%s: dropped: %s", self.name, error)
        except BaseException as error:  # noqa: BLE001 raised again by whoever writes
            self.crash = error
        if self._gone:
            self.upload.abort()


def _pieces(data: bytes | memoryview) -> Iterator[memoryview]:
    """The bytes in pieces that nobody changes."""
    kept = memoryview(data if isinstance(data, bytes) else bytes(data))
    for at in range(0, len(kept), PIECE):
        yield kept[at : at + PIECE]

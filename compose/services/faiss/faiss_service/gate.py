"""Quiet times: for as long as somebody copies the files no write begins."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from faiss_service.errors import ApiError

LONGEST = 3600.0


class Gate:
    """Lets writes pass one at a time, or none of them until a moment.

    Args:
        clock: Seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._busy = False
        self._until = 0.0

    @property
    def quiet_for(self) -> float:
        """Seconds until writes pass again; 0 when they pass now."""
        return max(0.0, self._until - self._clock())

    def close(self, seconds: float, within: float) -> None:
        """Hold writes back from now on, and return once the one under way has ended.

        Args:
            seconds: How long; 0 lets them pass again. The last call rules.
            within: Seconds to wait for that write.

        Raises:
            ApiError: 503, with the gate open again, when it does not end.
        """
        with self._changed:
            self._until = self._clock() + min(seconds, LONGEST)
            self._changed.notify_all()
            if seconds and not self._changed.wait_for(lambda: not self._busy, within):
                self._until = 0.0
                self._changed.notify_all()
                raise ApiError(503, f"a write did not end in {within:g} s")

    @contextmanager
    def writing(self, within: float) -> Iterator[None]:
        """Wait for the turn, at most `within` seconds, and hold it; 503 when it does not come."""
        deadline = self._clock() + within
        with self._changed:
            while self._busy or self.quiet_for:
                left = deadline - self._clock()
                if left <= 0:
                    raise ApiError(503, f"writes wait for {self.quiet_for:.0f} s more: the files are being copied")
                self._changed.wait(min(left, self.quiet_for or left))
            self._busy = True
        try:
            yield
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()

"""One budget of memory for everything that waits to be sent."""

from __future__ import annotations

from collections import deque
from threading import Condition

DEFAULT = 64 * 1024**2


class Lease:
    """Memory that somebody took; given back once.

    Args:
        size: Bytes.
    """

    def __init__(self, budget: Budget, size: int) -> None:
        self.size = size
        self._budget, self._moving, self._held = budget, False, True

    def moving(self) -> None:
        """Say that it will be given back whatever others do: it is on its way out."""
        with self._budget.changed:
            if self._held and not self._moving:
                self._moving = True
                self._budget.on_their_way += 1
                self._budget.changed.notify_all()

    def release(self) -> None:
        """Give it back; safe to call twice."""
        with self._budget.changed:
            if self._held:
                self._held = False
                self._budget.held -= self.size
                self._budget.on_their_way -= self._moving
                self._budget.changed.notify_all()


class Budget:
    """Bytes that all uploads of this process share, first come, first served.

    Who waits, waits only for parts that are being sent: those come back by themselves. A part that is being
    filled may hang on its producer, who may hang on the one that waits here, so nobody waits for it.

    Args:
        limit: Bytes; more than that is taken alone.
    """

    def __init__(self, limit: int = DEFAULT) -> None:
        self.limit = limit
        self.held, self.on_their_way = 0, 0
        self.changed = Condition()
        self._queue: deque[object] = deque()

    def take(self, size: int) -> Lease | None:
        """Take memory, waiting for parts that are being sent; None when nothing that is held will come back soon.

        Args:
            size: Bytes.
        """
        ticket = object()
        with self.changed:
            self._queue.append(ticket)
            try:
                self.changed.wait_for(lambda: self._queue[0] is ticket and self._decided(size))
                if not self._fits(size):
                    return None
                self.held += size
                return Lease(self, size)
            finally:
                self._queue.remove(ticket)
                self.changed.notify_all()

    def _fits(self, size: int) -> bool:
        return self.held == 0 or self.held + size <= self.limit

    def _decided(self, size: int) -> bool:
        return self._fits(size) or self.on_their_way == 0


SHARED = Budget()
"""The one of this process."""

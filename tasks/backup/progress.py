"""How far a backup is: told on the log every few seconds, and to whoever shows it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from compose.stack.backup.plan import megabytes

EVERY = 10.0


@dataclass
class Progress:
    """Counts the plain bytes of every component.

    Args:
        expected: Bytes by component, an upper bound.
        say: Tells people of one component.
        show: Told the fraction of the whole, from 0 to 1.
    """

    expected: Mapping[str, int]
    say: Callable[[str, str], None]
    show: Callable[[float], None] = lambda _: None
    _done: dict[str, int] = field(default_factory=dict)
    _told: dict[str, float] = field(default_factory=dict)
    _began: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, component: str) -> Callable[[int], None]:
        """What a procedure calls with the bytes that it wrote since its last call."""
        now = time.monotonic()
        self._began[component] = self._told[component] = now
        self._done[component] = 0

        def more(count: int) -> None:
            with self._lock:
                self._done[component] += count
                now = time.monotonic()
                if now - self._told[component] < EVERY:
                    return
                self._told[component] = now
                done = self._done[component]
                speed = done / max(now - self._began[component], 0.001)
            most = megabytes(self.expected.get(component, 0))
            self.say(component, f"{megabytes(done)} of at most {most}, {megabytes(speed)}/s")
            self.show(self.fraction)

        return more

    def finished(self, component: str) -> None:
        """A component is done, whatever it was expected to have."""
        with self._lock:
            self._done[component] = max(self.expected.get(component, 0), 1)
        self.show(self.fraction)

    @property
    def fraction(self) -> float:
        """How much of what is expected was read, every component counting for at least a little."""
        weights = {name: max(size, 1) for name, size in self.expected.items()}
        done = sum(min(self._done.get(name, 0), weight) for name, weight in weights.items())
        return done / max(sum(weights.values()), 1)

"""Waiting for a condition, never for a time."""

from __future__ import annotations

import time
from collections.abc import Callable


def poll(done: Callable[[], bool], limit: float, every: float = 0.1) -> bool:
    """Call `done` every `every` seconds until it says yes, at most `limit` seconds; whether it did."""
    until = time.monotonic() + limit
    while not done():
        if time.monotonic() > until:
            return False
        time.sleep(every)
    return True

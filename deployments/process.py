"""A short-lived process: it collects little garbage, and ends without taking itself apart."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Callable


def run_and_leave(command: Callable[[], None]) -> None:
    """Run a command and end the process with its exit code.

    Prefect's import makes some 500,000 objects: the collector walks through them again and again while they are
    made (0.2 s), the interpreter once more at its end (0.4 s). Everything that asked to be run at the end is run.
    """
    code = 1
    atexit.register(lambda: _leave(code))  # what is registered first runs last
    gc.set_threshold(100_000, 20, 20)
    try:
        command()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise


def _leave(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)

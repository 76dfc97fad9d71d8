"""A file system of the test's own, which is soon full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(path: Path, size: str, *options: str) -> Iterator[Path]:
    """Mount one; the test is skipped where that is not allowed.

    Args:
        path: Where; it is made.
        size: As mount takes it: `4m`.
        options: More of mount's, such as `ro`.
    """
    path.mkdir()
    argv = ("mount", "-t", "tmpfs", "-o", ",".join((f"size={size}", *options)), "tmpfs", str(path))
    if subprocess.run(argv, capture_output=True, check=False).returncode:
        pytest.skip("mounting takes root")
    try:
        yield path
    finally:
        subprocess.run(("umount", str(path)), check=True)

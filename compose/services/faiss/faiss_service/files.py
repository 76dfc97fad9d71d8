"""Files that are whole or not there: written beside, flushed to the disk, then renamed."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

UNFINISHED = ".unfinished"
BLOCK = 1024 * 1024


def put(path: Path, write: Callable[[Path], None]) -> None:
    """Make a file in one step: whoever looks finds the earlier one or the whole new one.

    Args:
        write: Writes the contents to the path that it is given.
    """
    beside = path.with_name(path.name + UNFINISHED)
    try:
        write(beside)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    flush_names(path.parent)


def flush_names(directory: Path) -> None:
    """Flush a directory, so that a name put into it or taken away stays so."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()

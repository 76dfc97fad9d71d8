"""What lies under a path of this host: counted up to a limit, never followed out of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from compose.stack.backup.facts import Bind

MANY_FILES = 50_000
MANY_BYTES = 1 << 40


def bind_of(path: str, most_bytes: int = MANY_BYTES) -> Bind:
    """What a bind mount's source is, and how much it holds.

    Args:
        path: On this host.
        most_bytes: Counting stops beyond this.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return Bind("missing")
    except OSError:
        return Bind("unseen")
    if stat.S_ISREG(found.st_mode):
        return Bind("file", found.st_size, 1)
    if not stat.S_ISDIR(found.st_mode):
        return Bind("special")
    return _counted(Path(path), most_bytes)


def _counted(root: Path, most: int) -> Bind:
    size = files = 0
    failed: list[OSError] = []
    for place, directories, names in os.walk(root, onerror=failed.append, followlinks=False):
        directories.sort()
        for name in names:
            try:
                size += os.lstat(os.path.join(place, name)).st_size
            except FileNotFoundError:
                continue
            except OSError as error:
                failed.append(error)
            files += 1
        if size > most or files > MANY_FILES:
            break
    return Bind("directory", size, files, sum(not isinstance(error, FileNotFoundError) for error in failed))

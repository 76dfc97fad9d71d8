"""What lies in a target's directory: complete files by key, and those that are still being written."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from compose.stack.backup.keys import UNFINISHED, is_safe

PARTIAL = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{16}" + re.escape(UNFINISHED), re.DOTALL)


def walk(root: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Every regular file whose key begins with a prefix, in the order of the keys; links are passed over.

    Args:
        root: The target's directory.
        prefix: Any beginning of a key: `pool/ab`.
    """
    above = prefix.rpartition("/")[0]
    if above and (not is_safe(above) or _leads_through_link(root, above)):
        return
    for entry, key in _entries(root / above, f"{above}/" if above else ""):
        if key.startswith(prefix) and is_safe(key):
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(found.st_mode):
                yield key, found


def unfinished(root: Path) -> Iterator[tuple[str, Path, float]]:
    """Every file that is or was being written: the key it would have, the file, when it changed (seconds)."""
    for entry, key in _entries(root, ""):
        match = PARTIAL.fullmatch(entry.name)
        if match:
            try:
                changed = entry.stat(follow_symlinks=False).st_mtime
            except FileNotFoundError:
                continue
            yield key.removesuffix(entry.name) + match["name"], Path(entry.path), changed


def empty_directories(root: Path) -> Iterator[tuple[str, Path, float]]:
    """Every directory below in which nothing lies: its key with a slash, itself, when it changed (seconds)."""
    for place, directories, files in os.walk(root, topdown=False):
        path = Path(place)
        if not (directories or files) and path != root:
            try:
                changed = path.lstat().st_mtime
            except FileNotFoundError:
                continue
            yield f"{path.relative_to(root).as_posix()}/", path, changed


def _entries(directory: Path, before: str) -> Iterator[tuple[os.DirEntry[str], str]]:
    """All files below, sorted by their keys: a directory sorts as if its name ended with a slash."""
    try:
        with os.scandir(directory) as scanned:
            found = [(entry, entry.is_dir(follow_symlinks=False)) for entry in scanned]
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry, is_directory in sorted(found, key=lambda one: one[0].name + "/" * one[1]):
        if is_directory:
            yield from _entries(Path(entry.path), f"{before}{entry.name}/")
        else:
            yield entry, before + entry.name


def _leads_through_link(root: Path, key: str) -> bool:
    path = root / key
    return any(one.is_symlink() for one in (path, *path.parents) if one != root and root in one.parents)

"""Reading a directory of this host: in a fixed order, never led out of it by a link that somebody puts there."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from compose.stack.backup.archive_format import Entry, Kind
from compose.stack.errors import Failed

PIECE = 1024 * 1024
KEPT_XATTRS = ("user.", "security.capability", "system.posix_acl_")
_HERE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Changed(Exception):
    """A file was written while it was read, or is gone."""


Content = Callable[[], Iterator[bytes]]
"""Reads a file once, at most as many bytes as its entry says; raises Changed at the end when it was written."""


class Tree(Protocol):
    """A directory tree, from wherever."""

    skipped: list[str]
    """Sockets, pipes and devices that were met."""

    def walk(self) -> Iterator[tuple[Entry, Content | None]]:
        """Its entries by name, a directory before what is in it; a content is to be read before the next entry."""


@dataclass
class Nothing:
    """A tree that is gone."""

    skipped: list[str] = field(default_factory=list)

    def walk(self) -> Iterator[tuple[Entry, Content | None]]:
        """See `Tree`."""
        yield from ()


@dataclass
class Measure:
    """What a tree holds, its files not read.

    Args:
        bytes: Sum of the files' sizes.
        allocated: What they take on the disk; less than `bytes` where files have holes.
    """

    files: int = 0
    bytes: int = 0
    allocated: int = 0


@dataclass
class LocalTree:
    """A directory of this host, or one file of it.

    Args:
        root: Where it is.
        only: Tells by the relative path what is wanted; everything by default.
        name: What a file is called that is all of it; its own name by default.
    """

    root: Path
    only: Callable[[str], bool] = lambda _: True
    name: str = ""
    skipped: list[str] = field(default_factory=list)

    def measure(self) -> Measure:
        """Count it."""
        total = Measure()
        for entry, found in self._entries(contents=False):
            if entry.kind == "file":
                total.files += 1
                total.bytes += entry.size
                total.allocated += min(found.st_blocks * 512, entry.size + 4096)
        return total

    def state(self) -> dict[str, tuple[int, int, int]]:
        """Size, change time and number of every file: two that are equal hold the same files unchanged."""
        return {
            entry.path: (found.st_size if entry.kind == "file" else 0, found.st_ctime_ns, found.st_ino)
            for entry, found in self._entries(contents=False)
        }

    def walk(self) -> Iterator[tuple[Entry, Content | None]]:
        """See `Tree`."""
        self.skipped.clear()
        links: dict[tuple[int, int], str] = {}
        for entry, found, place, name in self._found():
            made = entry
            if entry.kind == "file" and found.st_nlink > 1:
                first = links.setdefault((found.st_dev, found.st_ino), entry.path)
                if first != entry.path:
                    made = Entry(entry.path, "hardlink", entry.mode, entry.uid, entry.gid, entry.mtime, link=first)
            yield made, _content(place, name, found) if made.kind == "file" else None

    def _entries(self, *, contents: bool) -> Iterator[tuple[Entry, os.stat_result]]:
        for entry, found, _, _ in self._found(xattrs=contents):
            yield entry, found

    def _found(self, *, xattrs: bool = True) -> Iterator[tuple[Entry, os.stat_result, int, str]]:
        try:
            parent = os.open(self.root.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Failed(f"cannot be read: {error.strerror}", where=str(self.root)) from error
        try:
            found = os.stat(self.root.name or ".", dir_fd=parent, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                what = "is a link: only that would be read, and nothing of what it leads to"
                raise Failed(what, where=str(self.root), next="name what it leads to")
            if stat.S_ISDIR(found.st_mode):
                yield from self._directory(parent, self.root.name or ".", ".", found, xattrs)
            else:
                yield from self._one(parent, self.root.name, self.name or self.root.name, found, xattrs)
        except OSError as error:
            raise Failed(f"cannot be read: {error.strerror}", where=str(self.root)) from error
        finally:
            os.close(parent)

    def _directory(
        self, parent: int, name: str, path: str, found: os.stat_result, xattrs: bool
    ) -> Iterator[tuple[Entry, os.stat_result, int, str]]:
        place = os.open(name, _HERE | os.O_DIRECTORY, dir_fd=parent)
        try:
            yield _entry(path, "directory", found, _xattrs(place) if xattrs else {}), found, parent, name
            for inside in sorted(os.listdir(place), key=os.fsencode):
                below = inside if path == "." else f"{path}/{inside}"
                if not self.only(below):
                    continue
                try:
                    there = os.stat(inside, dir_fd=place, follow_symlinks=False)
                    if stat.S_ISDIR(there.st_mode):
                        yield from self._directory(place, inside, below, there, xattrs)
                    else:
                        yield from self._one(place, inside, below, there, xattrs)
                except FileNotFoundError:
                    continue  # gone since the directory was listed
        finally:
            os.close(place)

    def _one(
        self, place: int, name: str, path: str, found: os.stat_result, xattrs: bool
    ) -> Iterator[tuple[Entry, os.stat_result, int, str]]:
        if stat.S_ISLNK(found.st_mode):
            entry = _entry(path, "symlink", found, {}, os.readlink(name, dir_fd=place))
            yield entry, found, place, name
        elif stat.S_ISREG(found.st_mode):
            kept = _xattrs(f"/proc/self/fd/{place}/{name}") if xattrs else {}
            yield _entry(path, "file", found, kept), found, place, name
        else:
            self.skipped.append(path)


def number_of(path: Path) -> tuple[int, int]:
    """Device and number of a file or directory: another one at the same path has others.

    Raises:
        Failed: It is not there, or cannot be seen.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise Failed(f"cannot be read: {error.strerror}", where=str(path)) from error
    return found.st_dev, found.st_ino


@dataclass
class Below:
    """A local tree, or one file, that lies at a path of another tree."""

    tree: LocalTree
    place: str
    skipped: list[str] = field(default_factory=list)

    def walk(self) -> Iterator[tuple[Entry, Content | None]]:
        """See `Tree`."""
        directory = False
        for entry, content in self.tree.walk():
            directory = directory or entry.path == "."
            link = f"{self.place}/{entry.link}" if entry.kind == "hardlink" else entry.link
            inside = entry.path != "." and directory
            yield replace(entry, path=f"{self.place}/{entry.path}" if inside else self.place, link=link), content
        self.skipped[:] = self.tree.skipped


def _entry(path: str, kind: Kind, found: os.stat_result, xattrs: dict[str, str], link: str = "") -> Entry:
    size = found.st_size if kind == "file" else 0
    return Entry(
        path, kind, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, found.st_mtime_ns, size, link, xattrs,
        holes=kind == "file" and found.st_blocks * 512 + 4096 < size,
    )  # fmt: skip


def _xattrs(place: int | str) -> dict[str, str]:
    follow: dict[str, bool] = {} if isinstance(place, int) else {"follow_symlinks": False}
    try:
        names = [name for name in os.listxattr(place, **follow) if name.startswith(KEPT_XATTRS)]
        return {name: os.getxattr(place, name, **follow).decode("latin-1") for name in sorted(names)}
    except OSError:  # the file system knows none, or the file has gone
        return {}


def _content(place: int, name: str, found: os.stat_result) -> Content:
    def read() -> Iterator[bytes]:
        try:
            handle = os.open(name, _HERE, dir_fd=place)
        except FileNotFoundError:
            raise Changed from None
        with open(handle, "rb", buffering=0) as file:
            if _look(os.fstat(handle)) != _look(found):
                raise Changed
            left = found.st_size
            while left > 0 and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece
            if left or _look(os.fstat(handle)) != _look(found):
                raise Changed

    return read


def _look(found: os.stat_result) -> tuple[int, ...]:
    return found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns, found.st_ctime_ns

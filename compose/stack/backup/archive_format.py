"""Archives of directories: tar in its PAX form, names relative, with an index of what each file holds."""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

BLOCK = 512
END = bytes(2 * BLOCK)
Kind = Literal["file", "directory", "symlink", "hardlink"]
_TYPES = {
    "file": tarfile.REGTYPE,
    "directory": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
}
XATTR = "SCHILY.xattr."
"""How GNU tar and others name extended attributes in PAX headers."""


@dataclass(frozen=True)
class Entry:
    """One thing in a directory tree.

    Args:
        path: Relative, `.` for the tree's own root; bytes that are no UTF-8 as Python's surrogates.
        mode: Permission bits.
        mtime: Nanoseconds since 1970.
        size: Bytes of a file; 0 for all else.
        link: What a symbolic link points to, or the first name of a hard link.
        xattrs: Extended attributes, values as Latin-1 text.
        holes: The file takes less room than its size: it is sparse.
    """

    path: str
    kind: Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    link: str = ""
    xattrs: Mapping[str, str] = field(default_factory=dict)
    holes: bool = False


def header(entry: Entry) -> bytes:
    """The tar header of an entry, whole blocks; a file's bytes follow it, filled up by `padding`."""
    info = tarfile.TarInfo(entry.path)
    info.type, info.mode, info.uid, info.gid = _TYPES[entry.kind], entry.mode, entry.uid, entry.gid
    info.size, info.linkname = entry.size, entry.link
    seconds, rest = divmod(entry.mtime, 10**9)
    info.mtime = float(entry.mtime) / 1e9 if rest else seconds
    exact = {"mtime": f"{seconds}.{rest:09d}"} if rest and seconds >= 0 else {}
    attributes = {
        f"{XATTR}{name}": value.encode("latin-1").decode("utf-8", "surrogateescape")
        for name, value in entry.xattrs.items()
    }
    info.pax_headers = {**exact, **attributes}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def padding(size: int) -> bytes:
    """What fills a file of this many bytes up to whole blocks."""
    return bytes(-size % BLOCK)


def index_line(entry: Entry, sha256: str = "") -> bytes:
    """One line of an archive's index, with its end.

    Args:
        sha256: Of a file's bytes; empty for all else.
    """
    body: dict[str, Any] = {"path": entry.path, "kind": entry.kind, "mode": entry.mode, "uid": entry.uid}
    body |= {"gid": entry.gid, "mtime": entry.mtime}
    body |= {"size": entry.size, "sha256": sha256} if entry.kind == "file" else {}
    body |= {"link": entry.link} if entry.link else {}
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"


@dataclass
class Totals:
    """What a tree holds, as numbers and one hash; no name and no value of it.

    Args:
        size: Bytes of all files.
        skipped: Sockets, pipes and devices: they hold nothing.
        changed: Files that were written while they were read.
    """

    files: int = 0
    size: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    sparse: int = 0
    changed: list[str] = field(default_factory=list)
    _hash: Any = field(default_factory=hashlib.sha256)

    def add(self, entry: Entry, line: bytes) -> None:
        """Count an entry with its line of the index."""
        self.kinds[entry.kind] += 1
        self.sparse += entry.holes
        if entry.kind == "file":
            self.files += 1
            self.size += entry.size
        self._hash.update(line)

    @property
    def tree(self) -> str:
        """SHA-256 over all lines of the index: equal for equal trees."""
        return str(self._hash.hexdigest())

    def fingerprint(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "files": self.files,
            "bytes": self.size,
            "directories": self.kinds["directory"],
            "links": self.kinds["symlink"] + self.kinds["hardlink"],
            "tree_sha256": self.tree,
        }

    def notes(self) -> tuple[str, ...]:
        """What a person should know of it."""
        found = []
        if self.skipped:
            found.append(f"{self.skipped} sockets, pipes or devices were left out: they hold no data")
        if self.sparse:
            found.append(f"{self.sparse} files have holes; a restored one takes its whole size")
        if self.changed:
            few = ", ".join(self.changed[:3]) + (", …" if len(self.changed) > 3 else "")
            found.append(f"{len(self.changed)} files were written while they were read: {few}")
        return tuple(found)

"""What this host remembers of the pool: what need not be read or copied twice, and what was found damaged.

Losing it costs time; and what is damaged has to be found again by `verify-backup`.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from compose.stack.backup.manifest import Digest
from compose.stack.errors import Failed

log = logging.getLogger("ops.backup")
FLUSHED = 1
"""From this version on, files were flushed before they were read for it: what is older is read again."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    name TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER, sha256 TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blobs (
    place TEXT, key TEXT, stored TEXT, stored_bytes INTEGER, plain TEXT, plain_bytes INTEGER,
    PRIMARY KEY (place, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS damaged (place TEXT, key TEXT, PRIMARY KEY (place, key)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Stamp:
    """What tells whether a file is still the one that was read.

    Args:
        size: Bytes.
        mtime_ns: Nanoseconds since 1970; `ctime_ns` likewise.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """Of a local file; a link is not followed."""
        found = path.lstat()
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@dataclass(frozen=True)
class Known:
    """A blob on one target."""

    stored: Digest
    plain: Digest | None = None


class PoolIndex:
    """An SQLite file for its owner only; several threads may use it.

    Args:
        path: Of the file; one that is broken is put aside.
    """

    def __init__(self, path: Path) -> None:
        self._turn = threading.Lock()
        try:
            self._base = _opened(path)
        except sqlite3.DatabaseError as error:
            log.warning("%s is broken (%s) and begins anew: everything is read once more", path, error)
            for ending in ("", "-wal", "-shm"):
                Path(f"{path}{ending}").unlink(missing_ok=True)
            self._base = _opened(path)

    def hash_of(self, name: str, stamp: Stamp) -> str | None:
        """The SHA-256 that a file had when it looked like this; None when it was not seen so."""
        row = self._one(
            "SELECT sha256 FROM files WHERE name = ? AND size = ? AND mtime_ns = ? AND ctime_ns = ? AND inode = ?",
            (_text(name), stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.inode),
        )
        return str(row[0]) if row else None

    def remember_file(self, name: str, stamp: Stamp, sha256: str) -> None:
        """Note what a file holds."""
        with self._turn, self._writing():
            self._base.execute(
                "REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)",
                (_text(name), stamp.size, stamp.mtime_ns, stamp.ctime_ns, stamp.inode, sha256),
            )

    def blob(self, place: str, key: str) -> Known | None:
        """What was stored there.

        Args:
            place: A target's own mark, not its name: names move.
        """
        row = self._one(
            "SELECT stored, stored_bytes, plain, plain_bytes FROM blobs WHERE place = ? AND key = ?", (place, key)
        )
        if row is None:
            return None
        plain = Digest(sha256=row[2], bytes=row[3]) if row[2] else None
        return Known(Digest(sha256=row[0], bytes=row[1]), plain)

    def remember_blob(self, place: str, key: str, known: Known) -> None:
        """Note what was stored, whole."""
        plain = (known.plain.sha256, known.plain.bytes) if known.plain else (None, None)
        with self._turn, self._writing():
            self._base.execute(
                "REPLACE INTO blobs VALUES (?, ?, ?, ?, ?, ?)",
                (place, key, known.stored.sha256, known.stored.bytes, *plain),
            )
            self._base.execute("DELETE FROM damaged WHERE place = ? AND key = ?", (place, key))

    def forget_blob(self, place: str, key: str) -> None:
        """Note that nobody knows what is stored there."""
        with self._turn, self._writing():
            self._base.execute("DELETE FROM blobs WHERE place = ? AND key = ?", (place, key))

    def remember_damage(self, place: str, key: str) -> None:
        """Note that what is stored there is not what was written; until it is written anew."""
        with self._turn, self._writing():
            self._base.execute("REPLACE INTO damaged VALUES (?, ?)", (place, key))

    def is_damaged(self, place: str, key: str) -> bool:
        """Whether it was found so."""
        return self._one("SELECT 1 FROM damaged WHERE place = ? AND key = ?", (place, key)) is not None

    def close(self) -> None:
        """Let go of the file."""
        with self._turn:
            self._base.close()

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[object, ...] | None:
        with self._turn:
            found: tuple[object, ...] | None = self._base.execute(query, values).fetchone()
        return found

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise Failed(f"the index of the pool cannot be written: {error}", next="df -h") from error


def _opened(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    base = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = NORMAL")
    if base.execute("PRAGMA user_version").fetchone()[0] < FLUSHED:
        base.execute("DROP TABLE IF EXISTS files")
        base.execute(f"PRAGMA user_version = {FLUSHED}")
    base.executescript(SCHEMA)
    return base


def _text(name: str) -> bytes:
    return os.fsencode(name)

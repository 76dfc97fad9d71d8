"""The Prefect server's own database: SQLite's backup interface into the spool, checked, then written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blocks.backup.source import read_path
from blocks.stores.sqlite_file import check_whole, counts, opened
from compose.stack.backup import tools
from compose.stack.backup.manifest import FileRecord
from compose.stack.errors import Failed
from tasks.backup.pouring import pour, stored
from tasks.backup.procedure import Saved, Saving

DIRECTORY = "prefect"
COUNTED = ("flow_run", "task_run", "deployment", "block_document", "artifact", "variable")
KEY = "ENCRYPTION_KEY"
"""Row of the table `configuration` with the key that opens the secrets of all blocks."""


class PrefectProcedure:
    """Copies while the server works; without encryption the key to its blocks' secrets stays out of the copy."""

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.copies: dict[str, Path] = {}
        self.counts: dict[str, Any] = {}
        self.moment: datetime | None = None
        self.keyless = False

    def open(self) -> None:
        """Copy every database file.

        Raises:
            Failed: One cannot be read, or is damaged.
        """
        self.moment = datetime.now(UTC)
        for path in sorted(self.saving.work.home.prefect.glob("*.db")):
            copy = self.saving.spool / path.name
            self.copies[path.name] = copy
            _copy(path, copy)
            with opened(copy) as connection:
                self.keyless |= not self.saving.files.sealed and _take_key_out(connection)
                check_whole(connection, path.name)
                self.counts[path.name] = counts(connection, COUNTED)

    def save(self) -> Saved:
        """Write the copies."""
        files = tuple(self._file(name, copy) for name, copy in self.copies.items())
        notes = (
            () if files else ("there is no SQLite database here: a server on PostgreSQL is saved with its stack",)
        )
        return Saved(
            tool="sqlite3 backup",
            tool_version=sqlite3.sqlite_version,
            files=files,
            fingerprint={"databases": self.counts},
            moment=self.moment,
            checked="content",
            left_out=("Prefect's encryption key: secrets in blocks cannot be read",) if self.keyless else (),
            notes=notes,
        )

    def close(self) -> None:
        """Remove the copies."""
        for copy in self.copies.values():
            for ending in ("", "-journal", "-wal", "-shm"):
                Path(f"{copy}{ending}").unlink(missing_ok=True)
        self.copies.clear()

    def _file(self, name: str, copy: Path) -> FileRecord:
        path = f"{DIRECTORY}/{tools.file_stem(name)}"
        size = copy.stat().st_size
        with self.saving.files.file(path, estimate=size, secret=self.saving.files.sealed) as sink:
            pour(self.saving, read_path(copy), sink)
        return stored(sink, path)


def _copy(path: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    copy.touch(mode=0o600)
    try:
        with (
            closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target, pages=8192, sleep=0.02)
            target.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise Failed(f"SQLite could not copy it: {error}", where=str(path)) from None


def _take_key_out(connection: sqlite3.Connection) -> bool:
    """Remove the key from a copy for good; whether it was there."""
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'configuration'").fetchone()
    if not there:
        return False
    connection.execute("PRAGMA secure_delete=ON")
    removed = connection.execute("DELETE FROM configuration WHERE key = ?", (KEY,)).rowcount
    connection.commit()
    connection.execute("VACUUM")
    return bool(removed)

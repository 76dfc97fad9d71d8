"""The real pool on a directory, for procedures that put their files there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blocks.backup.pool import PoolWriter
from blocks.backup.signing import Keyring
from blocks.backup.writer import BackupWriter
from blocks.home import Home
from blocks.targets.directory import DirectoryTarget
from compose.stack.backup.layout import pool_prefix
from tests.fakes.backup_files import MemoryFiles


@dataclass
class PoolLab:
    """One directory target with a stack's pool.

    Args:
        place: A directory of the test; `target` in it is the target.
    """

    place: Path
    stack_id: str = "tests-0123abcd"
    number: int = 0

    def __post_init__(self) -> None:
        (self.place / "target").mkdir(parents=True, exist_ok=True)
        self.target = DirectoryTarget(self.place / "target")
        self.home = Home(self.place / "home")
        self.home.make()

    @contextmanager
    def backup(self, *, reread: bool = False) -> Iterator[PoolWriter]:
        """The pool as the next backup is given it."""
        self.number += 1
        name = f"20261124T03150{self.number}Z-0000000{self.number}"
        writer = BackupWriter({"local": self.target}, self.stack_id, name)
        pool = PoolWriter(writer, Keyring.of(self.home), self.home.path / "pool-index.sqlite", reread=reread)
        try:
            yield pool
        finally:
            pool.close()

    @property
    def blobs(self) -> dict[str, int]:
        """Stored bytes by key."""
        prefix = pool_prefix(self.stack_id)
        return {entry.key.removeprefix(prefix): entry.size for entry in self.target.list(prefix)}


def filed(files: MemoryFiles, name: str) -> list[dict[str, Any]]:
    """The lines of a component's list of files."""
    return [json.loads(line) for line in files.plain[f"{name}/files.jsonl"].splitlines()]

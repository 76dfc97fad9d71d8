"""The chain of releases of one stack, on disk."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blocks.files import sync_directory, write_private
from compose.stack.errors import Refused
from compose.stack.release import Release, check_chain

RECORD = "release.json"
FLAT = "compose.yaml"


@dataclass(frozen=True)
class ReleaseStore:
    """Reads and appends releases.

    Args:
        path: The stack's `releases` directory.
    """

    path: Path

    def all(self) -> tuple[Release, ...]:
        """Every release, oldest first; the chain is proven.

        Raises:
            Refused: A record is damaged or missing.
        """
        found = sorted(self.path.glob(f"[0-9]*/{RECORD}")) if self.path.is_dir() else []
        releases = tuple(_read(path) for path in found)
        check_chain(releases)
        return releases

    def last(self) -> Release | None:
        """The newest release, if there is one."""
        releases = self.all()
        return releases[-1] if releases else None

    def directory(self, number: int) -> Path:
        """Where one release lives."""
        return self.path / f"{number:04d}"

    def append(self, release: Release, flat: str, sources: Mapping[str, str]) -> Release:
        """Add a release: whole, or not at all.

        Args:
            release: The record, not yet numbered in the chain.
            flat: The project merged into one file, variables as written.
            sources: Each compose source as written, by its path.
        """
        before = self.all()
        number = before[-1].number + 1 if before else release.number
        chained = release.model_copy(
            update={"number": number, "previous": before[-1].hash if before else ""}
        ).sealed()
        draft = self.path / f".draft-{os.getpid()}"
        for dead in self.path.glob(".draft-*"):
            shutil.rmtree(dead)
        for index, (path, text) in enumerate(sources.items()):
            write_private(draft / "files" / f"{index:02d}-{Path(path).name}", text)
        write_private(draft / FLAT, flat)
        write_private(draft / RECORD, chained.model_dump_json(indent=1) + "\n")
        os.rename(draft, self.directory(number))
        sync_directory(self.path)
        return chained


def _read(path: Path) -> Release:
    try:
        return Release.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise Refused(f"cannot be read: {error}", where=str(path), next="restore it from a backup") from None

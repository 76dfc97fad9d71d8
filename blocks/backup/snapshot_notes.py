"""Snapshots that backups made in stores, on disk until they are removed: what a killed run left is found again."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from blocks.files import write_private

log = logging.getLogger("ops.backup")
PLACE = "snapshots"


@dataclass(frozen=True)
class SnapshotNotes:
    """One file for each component that has snapshots in its store; only one backup of a stack runs at a time.

    A run that is killed while the store makes a snapshot has not been told its name yet: that one stays.

    Args:
        state: The stack's state directory.
    """

    state: Path

    def write(self, component: str, snapshots: Sequence[Sequence[str]]) -> None:
        """What a component has in its store now.

        Args:
            snapshots: Each by the words that name it there.
        """
        path = self.state / PLACE / f"{component}.json"
        if snapshots:
            write_private(path, json.dumps([list(words) for words in snapshots]) + "\n")
        else:
            path.unlink(missing_ok=True)

    def read(self) -> Mapping[str, tuple[tuple[str, ...], ...]]:
        """What is noted, by component."""
        found = {}
        for path in sorted((self.state / PLACE).glob("*.json")):
            try:
                words = json.loads(path.read_text(encoding="utf-8"))
                found[path.stem] = tuple(tuple(map(str, one)) for one in words)
            except (ValueError, TypeError):
                log.warning("%s cannot be read: a snapshot may have stayed in the store", path)
        return found

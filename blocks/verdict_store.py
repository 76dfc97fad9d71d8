"""What is remembered of verifications, in a stack's directory: works with Prefect and without."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blocks.files import write_private
from compose.stack.verdicts import Standing

KEEP = 200
VERDICT, HISTORY, DOWN = "verdict.json", "verifications.jsonl", "down.json"


@dataclass(frozen=True)
class VerdictStore:
    """The verdict that stands, alerts to be sent, past verifications, and whether the stack is meant to be down.

    Args:
        path: The stack's directory.
    """

    path: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One verification at a time decides what is news."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.path / "verdict.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def standing(self) -> Standing | None:
        """The verdict that stands; None before the first one, or when its file is damaged."""
        said = self._read().get("standing")
        try:
            return Standing.from_dict(said) if said else None
        except (KeyError, ValueError, TypeError):
            return None

    def pending(self) -> list[dict[str, Any]]:
        """Alerts that nobody has taken yet, oldest first."""
        return [dict(alert) for alert in self._read().get("pending") or ()]

    def keep(self, standing: Standing | None, pending: list[dict[str, Any]]) -> None:
        """Replace both."""
        record = {"standing": standing.to_dict() if standing else None, "pending": pending[-10:]}
        write_private(self.path / VERDICT, json.dumps(record, indent=1) + "\n")

    def _read(self) -> dict[str, Any]:
        return _object(self.path / VERDICT)

    def remember(self, run: Mapping[str, Any]) -> None:
        """Append one verification; the oldest go."""
        path = self.path / HISTORY
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        write_private(path, "\n".join([*lines[-KEEP + 1 :], json.dumps(run)]) + "\n")

    def history(self) -> list[dict[str, Any]]:
        """Past verifications, oldest first; lines that cannot be read are left out."""
        path = self.path / HISTORY
        found = []
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                found.append(dict(json.loads(line)))
            except (ValueError, TypeError):
                continue
        return found

    def mark_down(self, by: str) -> None:
        """Remember that somebody took the stack down on purpose."""
        write_private(self.path / DOWN, json.dumps({"since": time.time(), "by": by}) + "\n")

    def clear_down(self) -> None:
        """Forget it."""
        (self.path / DOWN).unlink(missing_ok=True)

    def down(self) -> dict[str, Any] | None:
        """Who took the stack down and when; None when nobody did."""
        path = self.path / DOWN
        return {"by": "somebody", **_object(path)} if path.exists() else None


def _object(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}

"""What was registered the last time: when it still holds, nothing is done and Prefect is not even imported."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blocks.files import write_private
from blocks.home import Home
from blocks.prefect_api import PrefectApi

SOURCES = (
    "flows",
    "compose/stack",
    "compose/stack/preflight",
    "compose/stack/backup",
    "deployments/registration",
    "blocks",
)
"""Directories whose code decides what is registered: flows with their types and choices, and the blocks."""


@dataclass(frozen=True)
class Registered:
    """What the server was given.

    Args:
        state: Hash of everything that it was made from.
        paths: One API path per object; each answers while the object is there.
    """

    state: str = ""
    paths: tuple[str, ...] = field(default=())

    @classmethod
    def read(cls, home: Home) -> Registered:
        """What is on record; nothing when there is none, or it cannot be read."""
        try:
            kept = json.loads(_file(home).read_text(encoding="utf-8"))
            return cls(str(kept["state"]), tuple(kept["paths"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return cls()

    def write(self, home: Home) -> None:
        """Put it on record."""
        write_private(_file(home), json.dumps({"state": self.state, "paths": self.paths}, indent=1) + "\n")

    def holds(self, state: str, api: PrefectApi) -> bool:
        """Whether the same was registered, and all of it is still there."""
        return self.state == state and bool(self.paths) and all(_answers(api, path) for path in self.paths)


def state_of(clone: Path, facts: Mapping[str, Any]) -> str:
    """One hash of all that decides what is registered.

    Args:
        clone: The project.
        facts: What the machine adds: stacks, versions, a keyed hash of the webhook.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for path in _sources(clone):
        digest.update(f"\0{path.relative_to(clone)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _sources(clone: Path) -> Iterable[Path]:
    yield clone / "prefect.yaml"
    for place in SOURCES:
        yield from sorted((clone / place).glob("*.py"))


def _answers(api: PrefectApi, path: str) -> bool:
    try:
        api.call("GET", path)
    except (OSError, http.client.HTTPException, ValueError):
        return False
    return True


def _file(home: Home) -> Path:
    return home.prefect / "registered.json"

"""What earlier runs of a stack took: the base of every prediction."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

FILE = "history.jsonl"
RUNS = 10


def remember(state: Path, kind: str, seconds: float, services: Mapping[str, Mapping[str, Any]], ok: bool) -> None:
    """Append one run.

    Args:
        services: For each service `seconds` from its turn to ready and, when it was replaced, `gap`.
    """
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "kind": kind,
        "seconds": round(seconds, 2),
        "ok": ok,
        "services": services,
    }
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (state / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def runs(state: Path) -> list[dict[str, Any]]:
    """The remembered runs, oldest first; a line that a crash cut short is left out."""
    path = state / FILE
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def expected(state: Path, what: str = "seconds") -> dict[str, float]:
    """Median of the last runs for each service.

    Args:
        what: `seconds` to ready, or `gap` without the service.
    """
    values: dict[str, list[float]] = {}
    for run in runs(state)[-RUNS * 3 :]:
        for name, facts in run.get("services", {}).items():
            if facts.get(what) is not None:
                values.setdefault(name, []).append(float(facts[what]))
    return {name: median(found[-RUNS:]) for name, found in values.items()}

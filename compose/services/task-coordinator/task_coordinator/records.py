"""A task as Redis keeps it and as the API shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

State = Literal["queued", "running", "finished", "failed"]
STATES: tuple[State, ...] = ("queued", "running", "finished", "failed")
ENDED: tuple[State, ...] = ("finished", "failed")
MODEL_AGENT = "model"
TEXTS = ("id", "state", "prompt", "agent", "worker", "result", "model", "digest", "error")
COUNTS = ("attempts", "completions", "tokens")
TIMES = ("created", "started", "finished")


@dataclass(frozen=True)
class Claim:
    """The right to work on one task: `number` rises with every claim and fences off older ones."""

    task: str
    message: str
    number: int
    prompt: str
    agent: str
    model: str
    max_tokens: int


@dataclass(frozen=True)
class Answer:
    """What an agent made of a task; `seconds` is the time the work took."""

    text: str
    model: str = ""
    digest: str = ""
    demonstration: bool = False
    tokens: int = 0
    seconds: float = 0.0

    def fields(self) -> dict[str, str]:
        """Return the answer as fields of the task's hash."""
        return {
            "result": self.text,
            "model": self.model,
            "digest": self.digest,
            "demonstration": "1" if self.demonstration else "0",
            "tokens": str(self.tokens),
            "seconds": f"{self.seconds:.3f}",
        }


def view(record: Mapping[str, str]) -> dict[str, Any]:
    """Return a task's hash as the API shows it: texts or null, counts as numbers, times in ISO 8601."""
    shown: dict[str, Any] = {key: record.get(key) or None for key in TEXTS}
    counts = {"attempts": record.get("claims"), **record}
    shown.update({key: int(counts.get(key) or 0) for key in COUNTS})
    shown.update({key: iso(record.get(key)) for key in TIMES})
    shown["seconds"] = float(record.get("seconds") or 0)
    shown["demonstration"] = record.get("demonstration") == "1"
    return shown


def iso(seconds: str | None) -> str | None:
    """Return seconds since the epoch as ISO 8601 in UTC, null where there is none."""
    return datetime.fromtimestamp(float(seconds), UTC).isoformat() if seconds else None

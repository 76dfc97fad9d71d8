"""What a pull's lines mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Outcome(Enum):
    """How a pull ended."""

    DONE = "done"
    UNREACHABLE = "unreachable"
    AGAIN = "again"
    FAILED = "failed"


# The library did not answer: no address, no route, nobody listening, no trust, or its servers are in trouble.
_AWAY = (
    "no such host",
    "server misbehaving",
    "connection refused",
    "connection reset",
    "network is unreachable",
    "no route to host",
    "host is down",
    "i/o timeout",
    "tls handshake timeout",
    "context deadline exceeded",
    "timeout awaiting",
    "failed to verify certificate",
    "certificate signed by unknown authority",
    "proxyconnect",
    "max retries exceeded",
    "pull model manifest: 5",
    "no answer from the library",
)
# Broken on the way: good parts are kept by the server, the next pull fetches the rest.
_BROKEN = ("digest mismatch", "unexpected eof", "broken pipe", "the stream ended")


def judge(last: Mapping[str, Any]) -> tuple[Outcome, str]:
    """Return how a pull ended and why, from its last line: the HTTP status is 200 even when it failed."""
    if last.get("status") == "success":
        return Outcome.DONE, "success"
    error = str(last.get("error") or "the stream ended before it said success")
    lowered = error.lower()
    if any(sign in lowered for sign in _AWAY):
        return Outcome.UNREACHABLE, error
    if any(sign in lowered for sign in _BROKEN):
        return Outcome.AGAIN, error
    return Outcome.FAILED, error


@dataclass
class Progress:
    """Turns the server's many lines into few: a new status, or every tenth of a part that is known to be big."""

    said: str = ""
    tenth: int = -1

    def line(self, update: Mapping[str, Any]) -> str | None:
        """Return what to print for an update, None for nothing new; completed may go down (a part starts over)."""
        status = str(update.get("status") or "")
        total, completed = int(update.get("total") or 0), int(update.get("completed") or 0)
        tenth = completed * 10 // total if total else -1
        if status == self.said and tenth == self.tenth:
            return None
        self.said, self.tenth = status, tenth
        if not total:
            return status or None
        return f"{status}: {completed / 1e6:.1f} of {total / 1e6:.1f} MB ({completed * 100 // total} %)"

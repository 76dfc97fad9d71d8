"""The health report: decisions only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backend_agi import VERSION


@dataclass(frozen=True)
class Reading:
    """One dependency as it was found; latency in milliseconds."""

    up: bool
    latency_ms: float
    detail: str

    def shown(self) -> dict[str, Any]:
        """Return the entry of the report."""
        status = "up" if self.up else "down"
        return {"status": status, "latency_ms": round(self.latency_ms, 1), "detail": self.detail}


def report(
    services: Mapping[str, Reading],
    agents: Mapping[str, Reading],
    now: datetime,
    uptime: float,
    model: Mapping[str, Any] | None,
) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the report: 503 and degraded as soon as one service is down.

    Agents stand above the backend and start after it: they are shown and do not decide.
    """
    down = [name for name, reading in services.items() if not reading.up]
    body: dict[str, Any] = {
        "status": "degraded" if down else "healthy",
        "timestamp": now.astimezone(UTC).isoformat(),
        "uptime": round(uptime, 3),
        "version": VERSION,
        "services": {name: reading.shown() for name, reading in services.items()},
        "agents": {name: reading.shown() for name, reading in agents.items()},
        "model": model,
    }
    if down:
        body["error"] = "down: " + ", ".join(down)
    return (503 if down else 200), body

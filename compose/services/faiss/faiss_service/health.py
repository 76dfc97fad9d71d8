"""The health report: decisions only."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from faiss_service import VERSION
from faiss_service.records import Record


def report(
    records: Sequence[Record],
    damaged: Mapping[str, str],
    writable: bool,
    quiet: float,
    now: datetime,
    uptime: float,
) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the report: 503 and degraded when an index is damaged or nothing can be written.

    Args:
        quiet: Seconds until writes pass again.
        uptime: Seconds.
    """
    problems = [f"index {name} is damaged: {why}" for name, why in sorted(damaged.items())]
    if not writable:
        problems.append("the data folder cannot be written")
    body: dict[str, Any] = {
        "status": "degraded" if problems else "healthy",
        "timestamp": now.astimezone(UTC).isoformat(),
        "uptime": round(uptime, 3),
        "version": VERSION,
        "indexes": len(records),
        "vectors": sum(record.ntotal for record in records),
        "quiet_for": round(quiet, 1),
    }
    if problems:
        body["error"] = "; ".join(problems)
    return (503 if problems else 200), body

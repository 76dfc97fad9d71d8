"""What is found on a machine and whether it will do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Args:
        verdict: `ok`, `warn` (it will do, not well) or `bad` (it will not do).
        next: The command or action that mends it; empty when nothing is wrong.
    """

    verdict: Literal["ok", "warn", "bad"]
    what: str
    found: str
    next: str = ""

    def as_dict(self) -> dict[str, str]:
        """For programs."""
        return asdict(self)


def capacity(cpus: int, memory: int, disk_free: int) -> list[Finding]:
    """Judge the machine against what the light stack needs: 2 CPUs, 4 GB, 15 GB of disk.

    Args:
        cpus: Processors that we may use.
        memory: Bytes of RAM.
        disk_free: Bytes free where the engine keeps its data.
    """
    return [
        Finding("ok" if cpus >= 2 else "warn", "processors", str(cpus), "" if cpus >= 2 else "2 are recommended"),
        _size("memory", memory, least=3_500_000_000, good="4 GB is needed by the light stack"),
        _size("free disk", disk_free, least=15_000_000_000, good="free some: docker system df shows what is used"),
    ]


def _size(what: str, found: int, *, least: int, good: str) -> Finding:
    fine = found >= least
    return Finding("ok" if fine else "warn", what, f"{found / 1e9:.1f} GB", "" if fine else good)

"""What the coordinator depends on, measured."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from task_coordinator import VERSION
from task_coordinator.queue import Queue
from task_coordinator.records import iso


@dataclass(frozen=True)
class Reading:
    """One dependency as it was found; latency in milliseconds."""

    up: bool
    latency_ms: float
    detail: str

    def shown(self) -> dict[str, Any]:
        """Return the entry of the health report."""
        return {
            "status": "up" if self.up else "down",
            "latency_ms": round(self.latency_ms, 1),
            "detail": self.detail,
        }


def measure(check: Callable[[], str]) -> Reading:
    """Run a check; its text is the detail, any error is why the dependency is down."""
    began = time.perf_counter()
    try:
        detail, up = check(), True
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the finding
        detail, up = f"{type(error).__name__}: {error}".splitlines()[0][:200], False
    return Reading(up, (time.perf_counter() - began) * 1000, detail)


def measure_all(checks: Mapping[str, Callable[[], str]]) -> dict[str, Reading]:
    """Run all checks at the same time."""
    with ThreadPoolExecutor(len(checks)) as pool:
        return dict(zip(checks, pool.map(measure, checks.values()), strict=True))


def redis_check(queue: Queue) -> str:
    """Write and read a key that expires, and say whether the queue survives a restart of Redis."""
    probe = "coordinator:health"
    token = str(time.time_ns())
    queue.client.set(probe, token, px=10_000)
    if queue.client.get(probe) is None:
        raise RuntimeError("a key just written is not there")
    stored = queue.client.info("persistence").get("aof_enabled") == 1
    return "wrote and read; " + ("queue is in the append-only file" if stored else "append-only file is OFF")


def ollama_check(client: httpx.Client, url: str) -> str:
    """Ask the model server for its version."""
    response = client.get(f"{url}/api/version", timeout=2)
    response.raise_for_status()
    return f"Ollama {response.json()['version']}"


def report(
    readings: Mapping[str, Reading], workers: list[dict[str, object]], queue: dict[str, int] | None, uptime: float
) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status and the report: healthy only when every dependency and worker is."""
    healthy = all(reading.up for reading in readings.values()) and all(worker["alive"] for worker in workers)
    body = {
        "status": "healthy" if healthy else "degraded",
        "timestamp": iso(str(time.time())),
        "uptime": round(uptime, 3),
        "version": VERSION,
        "services": {name: reading.shown() for name, reading in readings.items()},
        "workers": workers,
        "queue": queue,
    }
    return (200 if healthy else 503), body

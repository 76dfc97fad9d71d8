"""A health report in Prometheus' words."""

from typing import Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest


def exposition(body: dict[str, Any]) -> bytes:
    """Return a health report as Prometheus text."""
    registry = CollectorRegistry()
    up = Gauge("sutazai_dependency_up", "1 when the dependency answers", ["dependency"], registry=registry)
    for name, entry in body["services"].items():
        up.labels(name).set(entry["status"] == "up")
    alive = Gauge("sutazai_coordinator_workers_alive", "Worker processes alive", registry=registry)
    alive.set(sum(bool(worker["alive"]) for worker in body["workers"]))
    restarts = Gauge("sutazai_coordinator_worker_restarts", "Workers that replaced a dead one", registry=registry)
    restarts.set(sum(int(worker["restarts"]) for worker in body["workers"]))
    depth = Gauge("sutazai_queue_tasks", "Tasks that have not ended", ["place"], registry=registry)
    for place, count in (body["queue"] or {}).items():
        depth.labels(place).set(count)
    return generate_latest(registry)

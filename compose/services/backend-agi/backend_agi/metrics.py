"""What Prometheus is told."""

import time
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from backend_agi.health import Reading

_SECONDS = (0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300)


class Metrics:
    """The backend's own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ["method", "route", "status"]
        self.requests = Counter("sutazai_requests", "Requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "sutazai_request_seconds", "Time to answer", ["route"], registry=self.registry, buckets=_SECONDS
        )
        self.answers = Counter("sutazai_model_answers", "Answers of a model", ["model"], registry=self.registry)
        self.tokens = Counter("sutazai_model_tokens", "Tokens of a model", ["model"], registry=self.registry)
        self.up = Gauge("sutazai_dependency_up", "1 if it answers", ["dependency"], registry=self.registry)
        self.latency = Gauge(
            "sutazai_dependency_latency_seconds", "Round trip", ["dependency"], registry=self.registry
        )
        self.uptime = Gauge("sutazai_uptime_seconds", "Time since the start", registry=self.registry)

    def answered(self, answer: Mapping[str, Any]) -> None:
        """Count an answer of a model."""
        self.answers.labels(answer["model"]).inc()
        self.tokens.labels(answer["model"]).inc(answer["tokens"])

    def exposition(self, readings: Mapping[str, Reading], began: float) -> bytes:
        """Return everything as Prometheus text; `began` is the monotonic time of the start."""
        for name, reading in readings.items():
            self.up.labels(name).set(reading.up)
            self.latency.labels(name).set(reading.latency_ms / 1000)
        self.uptime.set(time.monotonic() - began)
        return generate_latest(self.registry)

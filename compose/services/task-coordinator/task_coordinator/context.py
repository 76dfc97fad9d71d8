"""What the routes work with."""

import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import httpx
from fastapi import Depends, Header, HTTPException, Request

from task_coordinator import health
from task_coordinator.queue import AGENTS, Queue
from task_coordinator.settings import Settings
from task_coordinator.supervisor import Supervisor


@dataclass(frozen=True)
class Context:
    """Settings, the queue, its workers and an HTTP client."""

    settings: Settings
    queue: Queue
    supervisor: Supervisor
    http: httpx.Client
    began: float = field(default_factory=time.monotonic)

    def agents(self) -> dict[str, dict[str, Any]]:
        """Return the registered agents by name."""
        return {name: json.loads(entry) for name, entry in self.queue.client.hgetall(AGENTS).items()}

    def measure(self) -> tuple[int, dict[str, Any]]:
        """Look at every dependency and worker now; return the HTTP status and the report."""
        checks = {
            "redis": lambda: health.redis_check(self.queue),
            "ollama": lambda: health.ollama_check(self.http, self.settings.ollama_url),
        }
        readings = health.measure_all(checks)
        workers = [slot.state() for slot in self.supervisor.slots]
        depth = self.queue.depth() if readings["redis"].up else None
        return health.report(readings, workers, depth, time.monotonic() - self.began)


def context(request: Request) -> Context:
    """Return the application's context."""
    return cast(Context, request.app.state.context)


Here = Annotated[Context, Depends(context)]


def token(here: Here, authorization: Annotated[str, Header()] = "") -> None:
    """Refuse a request without the bearer token."""
    given = authorization.removeprefix("Bearer ").encode()
    if not hmac.compare_digest(given, here.settings.api_token.encode()):
        raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})

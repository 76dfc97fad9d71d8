"""What the routes work with."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, cast

import httpx
from fastapi import Depends, Header, HTTPException, Request
from redis.asyncio import Redis

from backend_agi import auth, probes
from backend_agi.errors import ApiError
from backend_agi.health import Reading, report
from backend_agi.metrics import Metrics
from backend_agi.models import Ollama
from backend_agi.settings import Settings
from backend_agi.store import Store
from backend_agi.upstream import call
from backend_agi.vectors import Chroma

AGENT = "task_coordinator"


@dataclass(frozen=True)
class Context:
    """Settings and one client for each service behind the backend."""

    settings: Settings
    http: httpx.AsyncClient
    redis: Redis
    ollama: Ollama
    chroma: Chroma
    store: Store
    measuring: probes.Measuring
    metrics: Metrics = field(default_factory=Metrics)
    began: float = field(default_factory=time.monotonic)

    async def coordinator(self, method: str, path: str, body: Any = None, within: float = 30) -> Any:
        """Call the task coordinator with our token."""
        url, token = self.settings.coordinator_url + path, self.settings.api_token
        return await call(self.http, "task-coordinator", method, url, body=body, token=token, within=within)

    async def readings(self) -> dict[str, Reading]:
        """Measure every dependency now, all at the same time."""
        return await self.measuring.readings()

    async def health(self) -> tuple[int, dict[str, Any]]:
        """Return the HTTP status and the health report."""
        readings = await self.readings()
        model = None
        if readings["ollama"].up:
            try:
                model = (await self.ollama.model()).shown()
            except ApiError as error:
                model = {"name": None, "detail": error.what}
        agents = {AGENT: readings.pop(AGENT)}
        return report(readings, agents, datetime.now(UTC), time.monotonic() - self.began, model)


def checks(settings: Settings, http: httpx.AsyncClient, redis: Redis, store: Store) -> dict[str, probes.Check]:
    """Return the round trip of every dependency by its name in the report."""
    return {
        "postgresql": partial(probes.postgresql, store),
        "redis": partial(probes.redis, redis),
        "ollama": partial(probes.ollama, http, settings.ollama_url),
        "chromadb": partial(probes.chromadb, http, settings.chromadb_url),
        AGENT: partial(probes.task_coordinator, http, settings.coordinator_url),
    }


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Context]:
    """Open the clients; nothing is connected before it is used."""
    redis = Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        password=settings.redis_password,
        decode_responses=True,
        socket_connect_timeout=2,
        socket_timeout=5,
    )
    async with httpx.AsyncClient(trust_env=False, timeout=5) as http:
        try:
            ollama = Ollama(http, settings.ollama_url, settings.models, settings.answer_within)
            chroma, store = Chroma(http, settings.chromadb_url), Store(settings)
            measuring = probes.Measuring(
                checks(settings, http, redis, store), settings.health_within, settings.secrets
            )
            yield Context(settings, http, redis, ollama, chroma, store, measuring)
        finally:
            await redis.aclose()


def context(request: Request) -> Context:
    """Return the application's context."""
    return cast(Context, request.app.state.context)


Here = Annotated[Context, Depends(context)]


def token(here: Here, authorization: Annotated[str, Header()] = "") -> None:
    """Refuse a request that carries neither the token nor a valid JWT."""
    settings = here.settings
    if not auth.allowed(authorization, settings.api_token, settings.secret_key, time.time()):
        raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})

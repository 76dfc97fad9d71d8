"""Health, metrics and what the stack runs with."""

import os
import time
from typing import Any

import psycopg
import redis
from fastapi import APIRouter, Depends, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, Field

from backend_agi import VERSION, auth
from backend_agi.context import Context, Here, token
from backend_agi.errors import ApiError, explain

router = APIRouter()
REDIS_SETTINGS = ("maxmemory", "maxmemory_policy", "redis_version", "used_memory")


class TokenRequest(BaseModel):
    """How long a token shall hold, in seconds."""

    seconds: int = Field(default=3600, ge=60, le=30 * 24 * 3600)


@router.get("/livez")
async def livez() -> dict[str, str]:
    """The process answers; nothing else is looked at."""
    return {"status": "alive"}


@router.get("/health")
@router.get("/api/v1/system/health")
async def health(here: Here) -> JSONResponse:
    """Every dependency, measured now; 503 when one is down."""
    status, body = await here.health()
    return JSONResponse(body, status)


@router.get("/metrics")
async def metrics(here: Here) -> Response:
    """Requests, answers and dependencies, for Prometheus."""
    text = here.metrics.exposition(await here.readings(), here.began)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


@router.get("/api/v1/system/status")
async def status(here: Here) -> dict[str, Any]:
    """The backend itself, and the settings that the databases run with."""
    settings = here.settings
    return {
        "version": VERSION,
        "environment": settings.environment,
        "uptime": round(time.monotonic() - here.began, 3),
        "memory_bytes": _resident(),
        "model_preference": list(settings.models),
        "max_tokens": settings.max_tokens,
        "settings": {"postgresql": await _postgresql(here), "redis": await _redis(here)},
    }


@router.post("/api/v1/auth/token", dependencies=[Depends(token)])
async def new_token(request: TokenRequest, here: Here) -> dict[str, Any]:
    """Return a JWT that stands for the API token for a while."""
    expires = int(time.time()) + request.seconds
    signed = auth.sign({"sub": "api", "exp": expires}, here.settings.secret_key)
    return {"token": signed, "token_type": "bearer", "expires": expires}


async def _postgresql(here: Context) -> dict[str, str]:
    try:
        return await here.store.server_settings()
    except psycopg.Error as error:
        raise ApiError(503, "postgresql", explain(error, here.settings.secrets)) from error


async def _redis(here: Context) -> dict[str, Any]:
    try:
        info = await here.redis.info()
    except redis.RedisError as error:
        raise ApiError(503, "redis", explain(error, here.settings.secrets)) from error
    return {key: info.get(key) for key in REDIS_SETTINGS}


def _resident() -> int:
    """Return this process's resident memory in bytes (Linux, proc(5))."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

"""The coordinator as an application: routes, errors, and workers for as long as it serves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from task_coordinator import VERSION
from task_coordinator.context import Context
from task_coordinator.routes import router


@asynccontextmanager
async def workers(app: FastAPI) -> AsyncIterator[None]:
    """Run the workers beside the server."""
    app.state.context.supervisor.start()
    yield
    app.state.context.supervisor.stop()


async def redis_away(_request: Request, error: Exception) -> JSONResponse:
    """Answer 503 when the queue cannot be reached, or takes nothing more."""
    return JSONResponse({"detail": f"redis: {error}"[:200], "service": "redis"}, 503)


def create(context: Context) -> FastAPI:
    """Return the application; no page of it loads anything from outside."""
    app = FastAPI(
        title="SutazAI task coordinator", version=VERSION, docs_url=None, redoc_url=None, lifespan=workers
    )
    app.state.context = context
    app.add_exception_handler(redis.RedisError, redis_away)
    app.include_router(router)
    return app

"""The backend as an application: routes, errors, counting."""

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend_agi import VERSION
from backend_agi.context import opened
from backend_agi.errors import ApiError
from backend_agi.metrics import Metrics
from backend_agi.routes import router
from backend_agi.settings import Settings

log = logging.getLogger("backend")
QUIET = ("/livez", "/health", "/metrics")


class Counting:
    """Counts every request by its route and logs those that are no probes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it was answered."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status = 500
        began = time.perf_counter()

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        metrics: Metrics = scope["app"].state.context.metrics
        metrics.requests.labels(scope["method"], route, str(status)).inc()
        metrics.seconds.labels(route).observe(seconds)
        if route not in QUIET:
            log.info("%s %s %d %.0f ms", scope["method"], route, status, seconds * 1000)


def serving(settings: Settings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan: clients are open for as long as the application serves."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened(settings) as context:
            app.state.context = context
            yield

    return lifespan


async def api_error(_request: Request, error: Exception) -> JSONResponse:
    """Answer with the error's own status and words."""
    if not isinstance(error, ApiError):
        raise error
    return JSONResponse(error.body(), error.status)


def create(settings: Settings) -> FastAPI:
    """Return the application; no page of it loads anything from outside."""
    app = FastAPI(
        title="SutazAI backend", version=VERSION, docs_url=None, redoc_url=None, lifespan=serving(settings)
    )
    app.add_exception_handler(ApiError, api_error)
    app.add_middleware(Counting)
    app.include_router(router)
    return app

"""The service as an application: routes, and who may use those that change something."""

import hmac
import os
import time
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request
from fastapi.responses import JSONResponse

from faiss_service import VERSION
from faiss_service.errors import ApiError
from faiss_service.gate import LONGEST
from faiss_service.health import report
from faiss_service.requests import Addition, Creation, Name, Search
from faiss_service.settings import Settings
from faiss_service.store import Store

router = APIRouter()


def store(request: Request) -> Store:
    """Return the application's store."""
    return cast(Store, request.app.state.store)


Here = Annotated[Store, Depends(store)]


def token(request: Request, authorization: Annotated[str, Header()] = "") -> None:
    """Refuse a request without the bearer token."""
    given = authorization.removeprefix("Bearer ").encode()
    if not hmac.compare_digest(given, request.app.state.settings.api_token.encode()):
        raise HTTPException(401, "a bearer token is needed", {"WWW-Authenticate": "Bearer"})


@router.get("/health")
def health(request: Request, here: Here) -> JSONResponse:
    """Tell whether every index is whole and can be written."""
    writable = os.access(here.directory, os.W_OK)
    uptime = time.monotonic() - request.app.state.began
    status, body = report(here.all(), here.damaged, writable, here.gate.quiet_for, datetime.now(UTC), uptime)
    return JSONResponse(body, status)


@router.get("/indexes")
def indexes(here: Here) -> dict[str, Any]:
    """List the indexes with their number of vectors."""
    return {"indexes": [record.shown() for record in here.all()], "damaged": here.damaged}


@router.post("/create_index", dependencies=[Depends(token)])
def create_index(creation: Creation, here: Here) -> dict[str, Any]:
    """Make an index; again is no error."""
    record, made = here.create(creation.index, creation.dimension, creation.metric)
    return {**record.shown(), "created": made}


@router.post("/add_vectors", dependencies=[Depends(token)])
def add_vectors(addition: Addition, here: Here) -> dict[str, Any]:
    """Add vectors; they are on the disk when this answers."""
    record, ids = here.add(addition.index, addition.vectors, addition.ids)
    return {"index": record.name, "ids": ids, "ntotal": record.ntotal}


@router.post("/search", dependencies=[Depends(token)])
def search(asked: Search, here: Here) -> dict[str, Any]:
    """Find the nearest vectors for each that is given."""
    return {"index": asked.index, "results": here.search(asked.index, asked.vectors, asked.k)}


@router.delete("/indexes/{name}", dependencies=[Depends(token)], status_code=204)
def remove(name: Name, here: Here) -> None:
    """Remove an index."""
    here.remove(name)


@router.post("/quiesce", dependencies=[Depends(token)])
def quiesce(seconds: Annotated[float, Query(ge=0, le=LONGEST)], here: Here) -> dict[str, Any]:
    """Hold writes back for so long, once the one under way has ended; 0 lets them pass again."""
    here.gate.close(seconds, here.within)
    return {"quiet_for": round(here.gate.quiet_for, 1), "indexes": [record.shown() for record in here.all()]}


async def api_error(_request: Request, error: Exception) -> JSONResponse:
    """Answer with the error's own status and words."""
    if not isinstance(error, ApiError):
        raise error
    return JSONResponse({"detail": error.what, "service": "faiss"}, error.status)


async def disk_error(_request: Request, error: Exception) -> JSONResponse:
    """Answer 507 when the disk does not take a write; the index is as it was before."""
    return JSONResponse({"detail": f"the disk: {error}"[:200], "service": "faiss"}, 507)


def create(settings: Settings, store: Store) -> FastAPI:
    """Return the application; no page of it loads anything from outside."""
    app = FastAPI(title="SutazAI FAISS service", version=VERSION, docs_url=None, redoc_url=None)
    app.state.settings, app.state.store, app.state.began = settings, store, time.monotonic()
    app.add_exception_handler(ApiError, api_error)
    app.add_exception_handler(OSError, disk_error)
    app.include_router(router)
    return app

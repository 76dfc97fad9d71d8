"""The routes of the API."""

from fastapi import APIRouter

from backend_agi.routes import core, models, orchestration, system, vectors

router = APIRouter()
for part in (core, models, vectors, orchestration, system):
    router.include_router(part.router)

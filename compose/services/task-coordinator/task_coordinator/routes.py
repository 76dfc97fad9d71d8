"""The coordinator's routes."""

import asyncio
import json
import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from task_coordinator.context import Here, token
from task_coordinator.metrics import exposition
from task_coordinator.queue import AGENTS
from task_coordinator.records import ENDED, MODEL_AGENT, State, view
from task_coordinator.requests import Assignment, NobodyFits, Registration, choose_agent

router = APIRouter()
POLL = 0.1


@router.get("/livez")
def livez() -> dict[str, str]:
    """The process answers; nothing else is looked at."""
    return {"status": "alive"}


@router.get("/health")
def health(here: Here) -> JSONResponse:
    """Dependencies and workers, measured now; 503 when one is down."""
    status, body = here.measure()
    return JSONResponse(body, status)


@router.get("/metrics")
def metrics(here: Here) -> Response:
    """The same, for Prometheus."""
    return Response(exposition(here.measure()[1]), media_type=CONTENT_TYPE_LATEST)


@router.get("/agents")
def agents(here: Here) -> dict[str, Any]:
    """Who takes tasks: the model, and what registered."""
    model = {"name": MODEL_AGENT, "capabilities": ["generate"], "models": list(here.settings.models)}
    return {"agents": [model, *here.agents().values()]}


@router.post("/agents/register", status_code=201, dependencies=[Depends(token)])
def register(agent: Registration, here: Here) -> dict[str, Any]:
    """Add or replace an agent."""
    if agent.name == MODEL_AGENT:
        raise HTTPException(409, f"{MODEL_AGENT} is the coordinator's own")
    entry = {**agent.model_dump(), "registered": time.time()}
    here.queue.client.hset(AGENTS, agent.name, json.dumps(entry))
    return entry


@router.post("/tasks", status_code=202, dependencies=[Depends(token)])
@router.post("/assign", status_code=202, dependencies=[Depends(token)])
def assign(assignment: Assignment, here: Here) -> dict[str, Any]:
    """Queue a task; it is done even when its worker dies, and once."""
    try:
        agent = choose_agent(assignment, here.agents())
    except NobodyFits as error:
        raise HTTPException(404, str(error)) from error
    fields = {
        "prompt": assignment.prompt,
        "agent": agent,
        "asked_model": assignment.model,
        "max_tokens": str(assignment.max_tokens),
    }
    task, new = here.queue.submit(fields, str(assignment.id or ""))
    return {"task_id": task, "new": new, **view(here.queue.get(task) or {"id": task})}


@router.get("/tasks")
def tasks(
    here: Here,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    state: State | None = None,
    id: Annotated[list[str] | None, Query(max_length=200)] = None,
) -> dict[str, Any]:
    """The newest tasks first, or those with the given ids."""
    records = [here.queue.get(task) for task in id] if id else here.queue.recent(limit, state)
    return {"tasks": [view(record) for record in records if record], "queue": here.queue.depth()}


@router.get("/tasks/{task}")
async def one_task(task: str, here: Here, wait: Annotated[float, Query(ge=0, le=60)] = 0) -> dict[str, Any]:
    """One task; `wait` keeps the request for up to so many seconds until the task has ended."""
    deadline = time.monotonic() + wait
    while True:
        record = await run_in_threadpool(here.queue.get, task)
        if record is None:
            raise HTTPException(404, "no such task (any more)")
        if record["state"] in ENDED or time.monotonic() >= deadline:
            return view(record)
        await asyncio.sleep(POLL)


@router.delete("/tasks/{task}", status_code=204, dependencies=[Depends(token)])
def forget(task: str, here: Here) -> None:
    """Remove a task, whatever its state; what a worker makes of it meanwhile is thrown away."""
    if not here.queue.forget(task):
        raise HTTPException(404, "no such task (any more)")

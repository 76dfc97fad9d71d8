"""Agents, workflows and the state of both: the coordinator's tasks, kept together in PostgreSQL."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import psycopg
from fastapi import APIRouter, Depends, Query

from backend_agi.context import Context, Here, token
from backend_agi.errors import ApiError, explain
from backend_agi.requests import NewWorkflow
from backend_agi.store import Workflow

router = APIRouter(prefix="/api/v1/orchestration")


@router.get("/agents")
async def agents(here: Here) -> Any:
    """Who takes tasks, as the coordinator says."""
    return await here.coordinator("GET", "/agents")


@router.post("/agents", status_code=201, dependencies=[Depends(token)])
async def register(agent: dict[str, Any], here: Here) -> Any:
    """Register an agent with the coordinator, which checks what it is given."""
    return await here.coordinator("POST", "/agents/register", agent)


@router.post("/workflows", status_code=202, dependencies=[Depends(token)])
async def start(request: NewWorkflow, here: Here) -> dict[str, Any]:
    """Keep a workflow, then queue each of its steps as a task."""
    workflow = uuid.uuid4()
    tasks = [str(uuid.uuid5(workflow, str(number))) for number in range(len(request.steps))]
    try:
        await here.store.add(Workflow(workflow, request.name, tasks))
    except psycopg.Error as error:
        raise _database_away(here, error) from error
    for task, step in zip(tasks, request.steps, strict=True):
        await here.coordinator("POST", "/assign", {"id": task, "prompt": step, "agent": request.agent})
    return {"id": str(workflow), "name": request.name, "tasks": tasks}


@router.get("/workflows")
async def workflows(here: Here, limit: Annotated[int, Query(ge=1, le=50)] = 10) -> dict[str, Any]:
    """The newest workflows with the state of their tasks."""
    try:
        kept = await here.store.recent(limit)
    except psycopg.Error as error:
        raise _database_away(here, error) from error
    shown = []
    for workflow in kept:
        query = urlencode([("id", task) for task in workflow.tasks])
        answer = await here.coordinator("GET", f"/tasks?{query}")
        created = workflow.created.isoformat() if workflow.created else None
        known = {task["id"]: task for task in answer["tasks"]}
        tasks = [known.get(task, {"id": task, "state": "unknown"}) for task in workflow.tasks]
        shown.append(
            {
                "id": str(workflow.id),
                "name": workflow.name,
                "created": created,
                "state": state(tasks),
                "tasks": tasks,
            }
        )
    return {"workflows": shown}


@router.get("/status")
async def status(here: Here) -> dict[str, Any]:
    """Counts of what waits, runs and is kept."""
    try:
        count = await here.store.count()
    except psycopg.Error as error:
        raise _database_away(here, error) from error
    answer = await here.coordinator("GET", "/tasks?limit=200")
    states: dict[str, int] = {}
    for task in answer["tasks"]:
        states[task["state"]] = states.get(task["state"], 0) + 1
    return {"workflows": count, "queue": answer["queue"], "latest_tasks": states}


def state(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Return a workflow's state from its tasks': failed as soon as one is, finished when all are."""
    states = {task["state"] for task in tasks}
    if "failed" in states:
        return "failed"
    if states <= {"finished"}:
        return "finished"
    return "unknown" if states <= {"unknown", "finished"} else "running"


def _database_away(here: Context, error: psycopg.Error) -> ApiError:
    return ApiError(503, "postgresql", explain(error, here.settings.secrets))

"""The routes at the root: chat, think, reason, execute."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends, Response

from backend_agi import VERSION
from backend_agi.context import Context, Here, token
from backend_agi.errors import ApiError
from backend_agi.requests import Execution, Prompt

router = APIRouter()
THINK = "Think about the following step by step, then give your conclusion in one sentence."
REASON = "Reason about the following: state the premises, the inference and the conclusion."


@router.get("/")
async def root() -> dict[str, Any]:
    """What this is and where to look further."""
    return {"name": "SutazAI backend", "version": VERSION, "health": "/health", "interface": "/openapi.json"}


@router.get("/agents")
async def agents(here: Here) -> Any:
    """Who takes tasks, as the coordinator says."""
    return await here.coordinator("GET", "/agents")


@router.post("/chat", dependencies=[Depends(token)])
async def chat(prompt: Prompt, here: Here) -> dict[str, Any]:
    """Answer a message, with the conversation so far in `history`."""
    return await _converse(here, prompt)


@router.post("/think", dependencies=[Depends(token)])
async def think(prompt: Prompt, here: Here) -> dict[str, Any]:
    """Answer after thinking step by step."""
    return await _converse(here, prompt, THINK)


@router.post("/reason", dependencies=[Depends(token)])
async def reason(prompt: Prompt, here: Here) -> dict[str, Any]:
    """Answer with premises, inference and conclusion."""
    return await _converse(here, prompt, REASON)


@router.post("/execute", dependencies=[Depends(token)])
async def execute(execution: Execution, here: Here, response: Response) -> dict[str, Any]:
    """Give a task to the coordinator and wait for its end; 202 with the task's id when that takes longer."""
    asked = execution.model_dump(include={"agent", "model", "max_tokens"})
    task = await here.coordinator("POST", "/assign", {"prompt": execution.message, **asked})
    path = f"/tasks/{task['task_id']}?wait={execution.wait:g}"
    done: dict[str, Any] = await here.coordinator("GET", path, within=execution.wait + 10)
    if done["state"] == "failed":
        raise ApiError(502, "task-coordinator", f"task {done['id']} failed: {done['error']}")
    if done["state"] != "finished":
        response.status_code = 202
    return {"task_id": done["id"], "status": done["state"], **done}


async def _converse(here: Context, prompt: Prompt, system: str = "") -> dict[str, Any]:
    messages: list[Mapping[str, str]] = [turn.model_dump() for turn in prompt.history]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    messages.append({"role": "user", "content": prompt.message})
    body = {"messages": messages, "options": prompt.options(here.settings.max_tokens)}
    answer = await here.ollama.answer("/api/chat", body, prompt.model)
    here.metrics.answered(answer)
    return {**answer, "timestamp": datetime.now(UTC).isoformat()}

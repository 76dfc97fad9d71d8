"""Models: which there are, getting one, generating, embedding."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
from fastapi import APIRouter, Depends
from fastapi.responses import Response, StreamingResponse

from backend_agi.context import Context, Here, token
from backend_agi.errors import ApiError, explain
from backend_agi.models import origin
from backend_agi.requests import Embedding, Prompt, Pull

router = APIRouter()


@router.get("/models")
@router.get("/api/v1/models")
@router.get("/api/v1/models/")
async def models(here: Here) -> dict[str, Any]:
    """The model server's models, and the one that answers unless another is asked for."""
    shown = []
    for entry in await here.ollama.tags():
        model = await here.ollama.model(entry["name"])
        shown.append({**model.shown(), "size": entry.get("size"), "modified": entry.get("modified_at")})
    try:
        current = (await here.ollama.model()).shown()
    except ApiError as error:
        current = {"name": None, "detail": error.what}
    return {"models": shown, "current": current}


@router.post("/api/v1/models/pull", dependencies=[Depends(token)])
async def pull(request: Pull, here: Here) -> Response:
    """Get a model; with `stream` its progress comes as lines of JSON, whose last one says how it ended."""
    lines = _progress(here, request)
    if request.stream:
        return StreamingResponse(
            (json.dumps(line) + "\n" async for line in lines), media_type="application/x-ndjson"
        )
    last: dict[str, Any] = {}
    async for line in lines:
        last = line
    if last.get("status") != "success":
        raise ApiError(502, "ollama", str(last.get("error") or "the pull broke off"))
    return Response(json.dumps({"status": "success", "model": request.model}), media_type="application/json")


@router.post("/api/v1/models/generate", dependencies=[Depends(token)])
async def generate(prompt: Prompt, here: Here) -> dict[str, Any]:
    """Continue a text."""
    body = {"prompt": prompt.message, "options": prompt.options(here.settings.max_tokens)}
    answer = await here.ollama.answer("/api/generate", body, prompt.model)
    here.metrics.answered(answer)
    return answer


@router.post("/api/v1/models/chat", dependencies=[Depends(token)])
async def chat(prompt: Prompt, here: Here) -> dict[str, Any]:
    """Answer a message; the same as /chat without its timestamp."""
    turns = [*(turn.model_dump() for turn in prompt.history), {"role": "user", "content": prompt.message}]
    body = {"messages": turns, "options": prompt.options(here.settings.max_tokens)}
    answer = await here.ollama.answer("/api/chat", body, prompt.model)
    here.metrics.answered(answer)
    return answer


@router.post("/api/v1/models/embed", dependencies=[Depends(token)])
async def embed(request: Embedding, here: Here) -> dict[str, Any]:
    """Turn texts into vectors."""
    model, vectors = await here.ollama.embed(request.texts, request.model)
    return {"embeddings": vectors, "dimension": len(vectors[0]), **origin(model)}


async def _progress(here: Context, request: Pull) -> AsyncIterator[dict[str, Any]]:
    """Yield the progress of a pull; a connection that breaks is an error line of its own."""
    try:
        async for line in here.ollama.pull(request.model, request.insecure):
            yield line
    except httpx.HTTPError as error:
        yield {"error": f"ollama broke off: {explain(error)}"}

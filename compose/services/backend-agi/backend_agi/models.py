"""The model server."""

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from backend_agi.errors import ApiError
from backend_agi.upstream import call

NOTICE = "This answer comes from the demonstration model: it shows that the stack works and knows nothing."
VECTORS_NOTICE = "These vectors come from the demonstration model: what is near says nothing about meaning."


def choose_model(preference: Sequence[str], available: Sequence[str]) -> str | None:
    """Return the first preferred model that is available; a name without a tag means `latest`."""
    for name in preference:
        full = name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"
        if full in available:
            return full
    return None


def is_demonstration(name: str, show: Mapping[str, Any]) -> bool:
    """Tell from its name or its own metadata (/api/show) whether a model is the demonstration model."""
    info = show.get("model_info") or {}
    said = (name, info.get("general.name"), info.get("general.description"), show.get("system"))
    return any("demonstration" in str(text).lower() for text in said)


@dataclass(frozen=True)
class Model:
    """A model that the server has."""

    name: str
    digest: str
    demonstration: bool

    def shown(self) -> dict[str, Any]:
        """Return what the API says about it."""
        return {"name": self.name, "digest": self.digest, "demonstration": self.demonstration}


def origin(model: Model | None) -> dict[str, Any]:
    """Return what is said about the origin of vectors; no model means that the client brought them."""
    demonstration = model is not None and model.demonstration
    return {
        "model": model.name if model else None,
        "demonstration": demonstration,
        "notice": VECTORS_NOTICE if demonstration else None,
    }


class Ollama:
    """The model server's interface, with the choice of the model."""

    def __init__(self, http: httpx.AsyncClient, url: str, preference: Sequence[str], within: float) -> None:
        self.http = http
        self.url = url
        self.preference = preference
        self.within = within
        self._demonstration: dict[str, bool] = {}

    async def tags(self) -> list[dict[str, Any]]:
        """Return the server's listing."""
        answer = await self._call("GET", "/api/tags")
        return list(answer.get("models") or ())

    async def model(self, asked: str = "") -> Model:
        """Return the asked model, or the first preferred one that is there.

        Raises ApiError 404 when the asked one is not there, 503 when none of the preferred is.
        """
        digests = {entry["name"]: str(entry.get("digest") or "") for entry in await self.tags()}
        name = choose_model((asked,) if asked else self.preference, list(digests))
        if name is None and asked:
            raise ApiError(404, "ollama", f"the model server has no model {asked}")
        if name is None:
            raise ApiError(503, "ollama", f"the model server has none of {', '.join(self.preference)} yet")
        return Model(name, digests[name], await self._is_demonstration(name, digests[name]))

    async def _is_demonstration(self, name: str, digest: str) -> bool:
        if digest not in self._demonstration:
            show = await self._call("POST", "/api/show", {"model": name})
            self._demonstration[digest] = is_demonstration(name, show)
        return self._demonstration[digest]

    async def answer(self, path: str, body: Mapping[str, Any], asked: str = "") -> dict[str, Any]:
        """Have a model answer /api/chat or /api/generate; raises ApiError 502 when the answer is empty."""
        model = await self.model(asked)
        began = time.perf_counter()
        raw = await self._call("POST", path, {**body, "model": model.name, "stream": False})
        text = raw["message"]["content"] if "message" in raw else raw.get("response") or ""
        if not text.strip():
            raise ApiError(502, "ollama", f"{model.name} answered nothing")
        return {
            "response": text,
            "model": model.name,
            "digest": model.digest,
            "demonstration": model.demonstration,
            "notice": NOTICE if model.demonstration else None,
            "tokens": int(raw.get("eval_count") or 0),
            "duration_ms": round((time.perf_counter() - began) * 1000, 1),
        }

    async def embed(self, texts: Sequence[str], asked: str = "") -> tuple[Model, list[list[float]]]:
        """Return a model and what it makes of each text: one vector per text."""
        model = await self.model(asked)
        raw = await self._call("POST", "/api/embed", {"model": model.name, "input": list(texts)})
        vectors = raw.get("embeddings") or []
        if len(vectors) != len(texts) or not all(vectors):
            raise ApiError(502, "ollama", f"{model.name} gave {len(vectors)} vectors for {len(texts)} texts")
        return model, vectors

    async def pull(self, name: str, insecure: bool) -> AsyncIterator[dict[str, Any]]:
        """Yield the server's progress; the last line says `success` or `error`, whatever the HTTP status."""
        body = {"model": name, "insecure": insecure, "stream": True}
        timeout = httpx.Timeout(120, connect=3)
        async with self.http.stream("POST", f"{self.url}/api/pull", json=body, timeout=timeout) as response:
            async for line in response.aiter_lines():
                if line.strip():
                    yield json.loads(line)

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await call(self.http, "ollama", method, self.url + path, body=body, within=self.within)

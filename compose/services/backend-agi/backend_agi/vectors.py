"""Vectors in ChromaDB, through its HTTP API v2."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx

from backend_agi.errors import ApiError
from backend_agi.upstream import call

_ROOT = "/api/v2/tenants/default_tenant/databases/default_database/collections"
_MADE_BY = "embedding_model"


class Chroma:
    """Collections of documents with their vectors."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        self.http = http
        self.url = url + _ROOT

    async def collection(self, name: str, model: str, *, create: bool) -> str:
        """Return a collection's id; raises ApiError 409 when its vectors were made by another model.

        `model` is the one that makes the vectors at hand; empty when the client brings them itself.
        """
        if create:
            metadata = {_MADE_BY: model or "client"}
            body = {"name": name, "get_or_create": True, "metadata": metadata}
            found = await self._call("POST", "", body)
        else:
            found = await self._call("GET", "/" + quote(name, safe=""))
        made_by = (found.get("metadata") or {}).get(_MADE_BY)
        if model and made_by not in (None, model):
            raise ApiError(409, "chromadb", f"the vectors of {name} were made by {made_by}, not by {model}")
        return str(found["id"])

    async def add(self, collection: str, entries: Mapping[str, Sequence[Any] | None]) -> None:
        """Add or replace documents: ids, embeddings, documents, metadatas."""
        await self._call("POST", f"/{collection}/upsert", entries)

    async def query(self, collection: str, vectors: Sequence[Sequence[float]], count: int) -> dict[str, Any]:
        """Return the nearest documents of each vector."""
        include = ["documents", "metadatas", "distances"]
        body = {"query_embeddings": vectors, "n_results": count, "include": include}
        return dict(await self._call("POST", f"/{collection}/query", body))

    async def stats(self) -> list[dict[str, Any]]:
        """Return name, size and model of every collection."""
        shown = []
        for entry in await self._call("GET", "?limit=1000"):
            count = await self._call("GET", f"/{entry['id']}/count")
            made_by = (entry.get("metadata") or {}).get(_MADE_BY)
            shown.append(
                {"name": entry["name"], "count": count, "dimension": entry.get("dimension"), "model": made_by}
            )
        return shown

    async def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await call(self.http, "chromadb", method, self.url + path, body=body)


def nearest(found: Mapping[str, Any], row: int = 0) -> list[dict[str, Any]]:
    """Return one row of a query's answer as a list of documents, nearest first."""
    columns = [(found.get(key) or [[]])[row] or [] for key in ("ids", "documents", "metadatas", "distances")]
    return [
        {"id": id_, "document": document, "metadata": metadata, "distance": distance}
        for id_, document, metadata, distance in zip(*columns, strict=True)
    ]

"""Vectors: add, search, count."""

import uuid
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Depends

from backend_agi.context import Context, Here, token
from backend_agi.errors import not_served
from backend_agi.models import Model, origin
from backend_agi.requests import Documents, Search
from backend_agi.vectors import nearest

router = APIRouter(prefix="/api/v1/vectors")
ABSENT = {
    "qdrant": "Qdrant is not part of the light stack; its vectors are in ChromaDB (store: chromadb)",
    "faiss": "the FAISS service is not part of the light stack; its vectors are in ChromaDB (store: chromadb)",
    "neo4j": "Neo4j is not part of the light stack; it has no graph of knowledge",
}


@router.post("/add", status_code=201, dependencies=[Depends(token)])
async def add(request: Documents, here: Here) -> dict[str, Any]:
    """Keep documents; an id that is there already is replaced."""
    _only_chromadb(request.store)
    model, vectors = await _vectors(here, request.documents, request.embeddings, request.model)
    collection = await here.chroma.collection(request.collection, model.name if model else "", create=True)
    ids = request.ids or [str(uuid.uuid4()) for _ in request.documents]
    entries = {
        "ids": ids,
        "documents": request.documents,
        "embeddings": vectors,
        "metadatas": request.metadatas,
    }
    await here.chroma.add(collection, entries)
    return {"ids": ids, "collection": request.collection, "dimension": len(vectors[0]), **origin(model)}


@router.post("/search", dependencies=[Depends(token)])
async def search(request: Search, here: Here) -> dict[str, Any]:
    """Find the nearest documents."""
    _only_chromadb(request.store)
    own = [request.embedding] if request.embedding else None
    model, vectors = await _vectors(here, [request.query], own, request.model)
    collection = await here.chroma.collection(request.collection, model.name if model else "", create=False)
    found = await here.chroma.query(collection, vectors, request.limit)
    return {"results": nearest(found), "collection": request.collection, **origin(model)}


@router.get("/stats")
async def stats(here: Here) -> dict[str, Any]:
    """Collections and their sizes, and the stores that are not here."""
    collections = await here.chroma.stats()
    return {"store": "chromadb", "collections": collections, "not_in_this_stack": ABSENT}


def _only_chromadb(store: str) -> None:
    if store in ABSENT:
        raise not_served(store, ABSENT[store])


async def _vectors(
    here: Context, texts: Sequence[str], own: Sequence[Sequence[float]] | None, model: str
) -> tuple[Model | None, Sequence[Sequence[float]]]:
    """Return the client's own vectors, or those that a model makes together with that model."""
    return (None, own) if own else await here.ollama.embed(texts, model)

"""Chroma, HTTP API v2: a collection is made, filled, queried and removed.

Source: the server's own /openapi.json (1.5).
"""

from __future__ import annotations

import time
import uuid

from blocks.working.scene import PREFIX, Broken, Proof, answered, call, place_of
from compose.stack.observed import Container
from compose.stack.round_trips import ChromaTrip

DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"
VECTORS = {"near": [1.0, 0.0, 0.0], "far": [0.0, 1.0, 0.0]}
STALE = 600.0


def round_trip(trip: ChromaTrip, container: Container) -> list[Proof]:
    """Insert two vectors into a collection of our own and ask for the nearest; remove the collection.

    Raises:
        Broken: The nearest is not the one that it is, or the collection is still there afterwards.
    """
    base = f"http://{place_of(container, trip.port)}{DATABASE}"
    _sweep(base, trip.within)
    name = f"{PREFIX}{int(time.time())}-{uuid.uuid4().hex[:12]}"
    made = answered(call("POST", f"{base}/collections", trip.within, body={"name": name}))
    try:
        nearest = _insert_and_query(f"{base}/collections/{made.get('id')}", trip.within)
    finally:
        call("DELETE", f"{base}/collections/{name}", trip.within)
    if nearest != "near":
        raise Broken(f"asked for the nearest of two vectors, it answered {nearest!r}")
    if name in _names(base, trip.within):
        raise Broken(f"collection {name} is still there after its removal")
    return [Proof(str(trip), "inserted two vectors, found the nearest, removed the collection")]


def _insert_and_query(collection: str, within: float) -> str | None:
    ids, vectors = list(VECTORS), list(VECTORS.values())
    rows = {"ids": ids, "embeddings": vectors, "documents": ids}
    answered(call("POST", f"{collection}/add", within, body=rows))
    question = {"query_embeddings": [[0.9, 0.1, 0.0]], "n_results": 1, "include": ["documents"]}
    said = answered(call("POST", f"{collection}/query", within, body=question))
    found: list[str | None] = (said.get("documents") or [[]])[0] or [None]
    return found[0]


def _names(base: str, within: float) -> set[str]:
    said = answered(call("GET", f"{base}/collections?limit=1000", within))
    return {str(entry.get("name")) for entry in said.get("", [])}


def _sweep(base: str, within: float) -> None:
    """Remove what a verification that was killed has left."""
    for name in _names(base, within):
        made = name.removeprefix(PREFIX).split("-")[0]
        if name.startswith(PREFIX) and made.isdigit() and time.time() - int(made) > STALE:
            call("DELETE", f"{base}/collections/{name}", within)

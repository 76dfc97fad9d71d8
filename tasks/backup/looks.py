"""Looking into the copies of stores whose files tell what they hold: counts and hashes, for the fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from blocks.stores.sqlite_file import check_whole, chroma_contents, counts, opened
from compose.stack.errors import Failed

Look = Callable[[list[Path]], tuple[dict[str, Any], tuple[str, ...]]]
"""Looks into the copies: what they hold, and what a person should know."""
GRAFANA_TABLES = ("dashboard", "data_source", "user", "org", "alert_rule", "library_element")
BIGGEST_RECORD = 1024 * 1024
PIECE = 1024 * 1024


def nothing_more(_: list[Path]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Of a plain directory nothing more can be said than its files."""
    return {}, ()


def chroma(roots: list[Path]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Collections and their embeddings.

    Raises:
        Failed: Its database is not whole.
    """
    found = _files(roots, "chroma.sqlite3")
    if not found:
        return {"collections": {}}, ("it holds no database yet",)
    if len(found) > 1:
        raise Failed(f"{len(found)} databases lie in it: {', '.join(str(p) for p in found)}", where="chromadb")
    with opened(found[0]) as connection:
        check_whole(connection, "chroma.sqlite3")
        return chroma_contents(connection), ()


def grafana(roots: list[Path]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Dashboards, data sources, users.

    Raises:
        Failed: Its database is not whole.
    """
    note = "passwords of data sources in it are encrypted: its secret key is saved with the configuration"
    found = _files(roots, "grafana.db")
    if not found:
        return {}, ("no grafana.db lies in it: its database is elsewhere, or it has none yet",)
    with opened(found[0]) as connection:
        check_whole(connection, "grafana.db")
        return {"tables": counts(connection, GRAFANA_TABLES)}, (note,)


def faiss(roots: list[Path]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Indexes with their vectors, as their records tell; each record's hash of its index is compared.

    Raises:
        Failed: An index is not the one that its record means.
    """
    indexes: dict[str, Any] = {}
    for path in _files(roots, "*.json"):
        record = _record(path)
        if record is None:
            continue
        file = path.parent / str(record["file"])
        if record.get("sha256") and _sha256(file) != record["sha256"]:
            raise Failed(f"its record means another file than {file.name}", where=str(record["name"]))
        indexes[str(record["name"])] = {
            key: record.get(key) for key in ("ntotal", "dimension", "metric", "generation") if key in record
        }
    return {"indexes": indexes}, () if indexes else ("no record tells what its indexes hold",)


def loki(roots: list[Path]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Chunks and index files, as far as their places tell."""
    chunks = index = wal = 0
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file():
                parts = path.relative_to(root).parts[:-1]
                wal += "wal" in parts
                index += any(part.startswith(("index", "tsdb", "boltdb")) for part in parts)
                chunks += "chunks" in parts and not any(part.startswith("index") for part in parts)
    return {"chunks": chunks, "index_files": index, "wal_files": wal}, ()


def prometheus(roots: list[Path]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Blocks with their samples, and the time that they cover."""
    blocks: dict[str, Any] = {}
    for path in _files(roots, "meta.json"):
        body = _json(path)
        if isinstance(body, dict) and "ulid" in body:
            stats = body.get("stats") or {}
            blocks[str(body["ulid"])] = {
                "samples": stats.get("numSamples"), "series": stats.get("numSeries"),
                "from": body.get("minTime"), "to": body.get("maxTime"),
            }  # fmt: skip
    return {"blocks": blocks}, ()


def _files(roots: list[Path], pattern: str) -> list[Path]:
    """Files of a name below the roots; nothing is followed out of them."""
    found = [path for root in roots for path in ([root] if root.is_file() else root.rglob(pattern))]
    return sorted(path for path in found if path.is_file() and not path.is_symlink() and path.match(pattern))


def _record(path: Path) -> dict[str, Any] | None:
    body = _json(path)
    if not isinstance(body, dict) or not {"name", "file", "ntotal"} <= body.keys():
        return None
    inside = Path(str(body["file"])).name == body["file"] and (path.parent / str(body["file"])).is_file()
    if not inside:
        raise Failed(f"its index {str(body['file'])[:80]!r} is not there", where=path.name)
    return body


def _json(path: Path) -> Any:
    if path.stat().st_size > BIGGEST_RECORD:
        return None
    try:
        return json.loads(path.read_bytes())
    except ValueError:
        return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()

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
CHROMA = "chroma.sqlite3"
BIGGEST_RECORD = 1024 * 1024
PIECE = 1024 * 1024


def nothing_more(_: list[Path]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Of a plain directory nothing more can be said than its files."""
    return {}, ()


def chroma(roots: list[Path], below: str = ".") -> tuple[dict[str, Any], tuple[str, ...]]:
    """Collections and their embeddings; another database in it, an old copy say, is archived and not looked into.

    Args:
        below: The server's data directory in the first root.

    Raises:
        Failed: Its database is not whole, or nobody can tell which of several is the server's.
    """
    found = _files(roots, CHROMA)
    if not found:
        return {"collections": {}}, ("it holds no database yet",)
    used = roots[0] / below / CHROMA
    if used not in found:
        depth = min(len(path.parts) for path in found)
        used, *more = (path for path in found if len(path.parts) == depth)
        if more:
            names = ", ".join(_name(path, roots) for path in (used, *more))
            raise Failed(f"nobody can tell which is the server's database: {names}", where="chromadb")
    others = [_name(path, roots) for path in found if path != used]
    with opened(used) as connection:
        check_whole(connection, CHROMA)
        notes = (f"archived, and not looked into: {', '.join(others)}",) if others else ()
        return chroma_contents(connection), notes


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


def _name(path: Path, roots: list[Path]) -> str:
    """A file's path in its root."""
    return str(next(path.relative_to(root) for root in roots if path.is_relative_to(root)))


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

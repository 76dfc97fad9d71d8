"""SQLite files of stores, copied or at rest: whether they are whole, and what their tables count."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from compose.stack.errors import Failed

PROBLEMS = 3


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A database file that nobody else has open; its write-ahead log, if it has one, is taken into account.

    Raises:
        Failed: It is none, or damaged.
    """
    try:
        with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=rw", uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise Failed(f"SQLite cannot read it: {error}", where=path.name) from None


def check_whole(connection: sqlite3.Connection, where: str) -> None:
    """SQLite's own full check.

    Raises:
        Failed: It found something; the first problems are named.
    """
    rows = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({PROBLEMS})")]
    if rows != ["ok"]:
        raise Failed(f"SQLite's integrity check says: {'; '.join(rows)}", where=where)


def tables(connection: sqlite3.Connection) -> set[str]:
    """Names of its tables."""
    return {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def counts(connection: sqlite3.Connection, wanted: Sequence[str]) -> dict[str, int]:
    """Rows of those of these tables that it has.

    Args:
        wanted: Names of ours, no input.
    """
    there = tables(connection)
    return {
        name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])
        for name in wanted
        if name in there
    }


def chroma_contents(connection: sqlite3.Connection) -> dict[str, Any]:
    """Collections of a Chroma database with their embeddings and dimension.

    Source: the tables of chromadb 1.x; metadata segments hold one row per embedding.
    """
    there = tables(connection)
    if not {"collections", "segments", "embeddings"} <= there:
        raise Failed("it has no tables of Chroma", where="chroma.sqlite3")
    rows = connection.execute(
        """
        SELECT c.name, c.dimension, count(e.id), coalesce(c.database_id, '')
        FROM collections c
        LEFT JOIN segments s ON s.collection = c.id AND s.scope = 'METADATA'
        LEFT JOIN embeddings e ON e.segment_id = s.id
        GROUP BY c.id ORDER BY c.name, c.id
        """
    ).fetchall()
    found: dict[str, Any] = {}
    for name, dimension, count, database in rows:
        key = str(name) if str(name) not in found else f"{name} ({database})"
        found[key] = {"count": int(count), "dimension": dimension}
    return {"collections": found, **counts(connection, ("tenants", "databases", "embeddings_queue"))}


def _quoted(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")

"""What a PostgreSQL database holds, as counts and hashes, seen through one snapshot."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

from blocks.stores.postgres import Session
from compose.stack.backup import postgres_sql as sql

ROWS_IN = ("r",)
KINDS = {"p": "partitioned", "m": "materialized view", "f": "foreign"}


def sequences(session: Session) -> dict[str, int]:
    """The last value of every sequence that was used: a dump that begins later holds this or a later one."""
    return {name: int(value) for name, value in session.rows(sql.SEQUENCES, 2) if value}


def fingerprint(
    session: Session,
    limit: int = sql.HASH_LIMIT,
    stop: threading.Event | None = None,
    hashed: Collection[str] | None = None,
) -> dict[str, Any]:
    """Counts of all tables, and hashes of those that are not too big.

    Args:
        session: In a transaction that sees what shall be described.
        limit: Bytes of a table up to which its content is hashed.
        stop: Set when nobody wants the answer any more.
        hashed: Names of the tables whose content is hashed, whatever their sizes; None lets the limit decide.

    Raises:
        Failed: The server refused a query.
    """
    version, encoding, collate, ctype, provider, size, owner = session.rows(sql.FACTS, 7)[0]
    return {
        "server_version": version,
        "owner": owner,
        "encoding": encoding,
        "collation": collate,
        "ctype": ctype,
        "locale_provider": provider,
        "bytes": int(size),
        "extensions": dict(session.rows(sql.EXTENSIONS, 2)),  # type: ignore[arg-type]
        "tables": _tables(session, limit, stop, hashed),
        "large_objects": _large_objects(session, limit),
    }


def _tables(
    session: Session, limit: int, stop: threading.Event | None, names: Collection[str] | None
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, kind, size, columns in session.rows(sql.TABLES, 4):
        if stop is not None and stop.is_set():
            break
        if kind not in ROWS_IN:
            found[name] = {"kind": KINDS[kind]}
            continue
        hashed = int(size) <= limit if names is None else name in names
        rows, content = session.rows(sql.count_and_hash(name, columns) if hashed else sql.count(name), 2)[0]
        found[name] = {"rows": int(rows), **({"hash": content} if hashed else {})}
    return found


def _large_objects(session: Session, limit: int) -> dict[str, Any]:
    number, size = session.rows(sql.LARGE_OBJECTS, 2)[0]
    found: dict[str, Any] = {"count": int(number)}
    if int(number) and int(size) <= limit:
        found["hash"] = session.rows(sql.LARGE_OBJECTS_HASH)[0][0]
    return found


@contextmanager
def fingerprinting(begin: Callable[[], Session], limit: int) -> Iterator[Callable[[], dict[str, Any]]]:
    """Take a fingerprint on a thread beside something else; broken off when the block raises.

    Args:
        begin: Opens a session of its own that sees what shall be described.

    Yields:
        Waits for the fingerprint.
    """
    stop, sessions = threading.Event(), list[Session]()

    def work() -> dict[str, Any]:
        session = begin()
        sessions.append(session)
        try:
            return fingerprint(session, limit, stop)
        finally:
            session.close()

    with ThreadPoolExecutor(1, "fingerprint") as pool:
        future = pool.submit(work)
        try:
            yield future.result
        finally:
            stop.set()
            if not future.done():
                for session in sessions:
                    with suppress(Exception):
                        session.cancel()

"""A PostgreSQL dump proven by loading it: what comes out must be what was recorded, table by table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from blocks.engine import Engine
from blocks.stores.content_reads import Reader, portions
from blocks.stores.postgres_scratch import CannotTell, describe, load, scratch_postgres
from compose.stack.backup.manifest import ComponentRecord
from compose.stack.backup.postgres_compare import differences, other_versions
from compose.stack.errors import Damaged

LOADED = 20 * 1024**3
"""Bytes of a dump up to which it is loaded; a larger one is only read."""

NAMED = 50


@dataclass(frozen=True)
class Recorded:
    """What is known of a dump.

    Args:
        database: Its name.
        fingerprint: What was recorded of it.
    """

    database: str
    fingerprint: Mapping[str, Any]


def recorded_of(record: ComponentRecord, name: str) -> Recorded | None:
    """What was recorded of the dump in a file; None where nothing was.

    Args:
        name: The file's plain name without its directory.
    """
    databases: Mapping[str, Any] = record.fingerprint.get("databases") or {}
    return next((Recorded(key, one) for key, one in databases.items() if one.get("file") == name), None)


def load_and_compare(
    engine: Engine, image: str, recorded: Recorded, roles: Sequence[str], reader: Reader
) -> dict[str, Any]:
    """Load a dump into a scratch server and compare it with what was recorded.

    Returns:
        `notes`, or `unproven`: why nothing can be said here; nothing else.

    Raises:
        Damaged: It cannot be loaded, or holds something else; database and table, no values.
    """
    name = recorded.database
    try:
        with scratch_postgres(engine, image) as access:
            try:
                load(access, roles, portions(reader))
            except Damaged as error:
                raise Damaged(f"database {name!r}, {error.what}") from None
            found = describe(access, name, recorded.fingerprint)
    except CannotTell as error:
        return {"unproven": [f"database {name!r} is not proven: {error}"]}
    wrong = differences(name, recorded.fingerprint, found)
    if wrong:
        more = f"; and {len(wrong) - NAMED} more" if len(wrong) > NAMED else ""
        raise Damaged("; ".join(wrong[:NAMED]) + more)
    return {"notes": [f"database {name!r}: {one}" for one in other_versions(recorded.fingerprint, found)]}

"""What a PostgreSQL database that was loaded from its dump holds, beside what was recorded; never its values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

FACTS = ("encoding", "collation", "ctype", "locale_provider")
_ROLE = re.compile(r"^CREATE ROLE (\"(?:[^\"]|\"\")+\"|[^\s\";]+);", re.MULTILINE)
_COPY = re.compile(r"COPY failed for table \"(.*?)\": ?(.*)", re.DOTALL)
_NAMED = (
    r"(?:access method|collation|column|constraint|control file|database|encoding|extension|index|language|library"
    r"|relation|role|schema|server|table|trigger|type) "
)
_VALUE = re.compile(rf"(?P<named>{_NAMED}\"[^\"]*\")|(?:value )?\"[^\"]*(?:\"|$)")
_VIEW = re.compile(r"^Command was: REFRESH MATERIALIZED VIEW ", re.MULTILINE)
LONGEST = 200


def differences(database: str, recorded: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Everything in which a loaded database is not what its fingerprint says.

    Args:
        recorded, found: As `blocks.stores.postgres_fingerprint.fingerprint` gives them.
    """
    return tuple(f"database {database!r}, {one}" for one in _differences(recorded, found))


def _differences(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    for fact in FACTS:
        if fact in recorded and recorded[fact] != found.get(fact):
            yield f"{fact}: {found.get(fact)!r}, recorded was {recorded[fact]!r}"
    yield from _names("extension", recorded.get("extensions") or {}, found.get("extensions") or {})
    before, after = recorded.get("tables") or {}, found.get("tables") or {}
    yield from _names("table", before, after)
    for name in sorted(before.keys() & after.keys()):
        yield from (f"table {name}: {what}" for what in _table(before[name], after[name]))
    yield from _large_objects(recorded.get("large_objects") or {}, found.get("large_objects") or {})


def _names(kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{kind} {name}: is missing" for name in sorted(before.keys() - after.keys()))
    yield from (f"{kind} {name}: was not recorded" for name in sorted(after.keys() - before.keys()))


def _table(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    if before.get("kind") != after.get("kind"):
        yield f"is {after.get('kind') or 'ordinary'}, recorded was {before.get('kind') or 'ordinary'}"
    elif before.get("rows") != after.get("rows"):
        yield f"has {after.get('rows')} rows, recorded were {before.get('rows')}"
    elif "hash" in before and before["hash"] != after.get("hash"):
        yield "its rows are not those that were recorded"


def _large_objects(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    if before.get("count", 0) != after.get("count", 0):
        yield f"large objects: {after.get('count', 0)}, recorded were {before.get('count', 0)}"
    elif "hash" in before and before["hash"] != after.get("hash"):
        yield "large objects: their content is not what was recorded"


def other_versions(recorded: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[str, ...]:
    """Extensions that a dump brings back in another version: it names none, so the server's own is taken."""
    before, after = recorded.get("extensions") or {}, found.get("extensions") or {}
    return tuple(
        f"extension {name} comes back as {after[name]}, it was {before[name]}"
        for name in sorted(before.keys() & after.keys())
        if before[name] != after[name]
    )


def roles_of(script: str) -> tuple[str, ...]:
    """The roles that a globals script makes, as it quotes them."""
    return tuple(dict.fromkeys(_ROLE.findall(script)))


def reason(said: str) -> str:
    """Why pg_restore gave up, from what it printed, without the values that PostgreSQL quotes in it."""
    lines = said.strip().splitlines()
    errors = [line.partition("error: ")[2] for line in lines if "pg_restore: error: " in line]
    if not errors:
        return "pg_restore said nothing"
    first = errors[0]
    if copy := _COPY.match(first):
        return f"table {copy[1]} cannot be loaded: {_without_values(copy[2])}"
    return _without_values(first.removeprefix("could not execute query: "))


def computed(said: str) -> bool:
    """Whether pg_restore gave up at a materialized view, which it computes again, not at what the dump holds."""
    return bool(_VIEW.search(said))


def _without_values(text: str) -> str:
    """The fact alone: values come after a colon, or quoted without a word that tells what they name."""
    message = text.removeprefix("ERROR:").strip().partition("\n")[0]
    named = _VALUE.sub(lambda found: found["named"] or "a value", message)
    return named.partition(": ")[0][:LONGEST]

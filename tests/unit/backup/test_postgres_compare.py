"""What is said of a dump that was loaded: every difference, by database and table, and never a value."""

from __future__ import annotations

from typing import Any

import pytest

from compose.stack.backup.postgres_compare import LONGEST, differences, other_versions, reason, roles_of


def recorded() -> dict[str, Any]:
    return {
        "encoding": "UTF8",
        "extensions": {"plpgsql": "1.0", "vector": "0.8.0"},
        "tables": {"public.a": {"rows": 2, "hash": "1"}, "public.b": {"rows": 9}, "public.v": {"kind": "foreign"}},
        "large_objects": {"count": 1, "hash": "7"},
    }


def test_the_same_is_no_difference() -> None:
    """A hash that was not recorded is not missed, nor is anything that no fingerprint had."""
    found = recorded()
    found["tables"]["public.b"]["hash"] = "5"
    assert differences("app", recorded(), found) == ()
    assert differences("app", {}, {"encoding": "UTF8"}) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tables": {"public.a": {"rows": 2, "hash": "2"}}}, "table public.a: its rows are not those"),
        ({"tables": {"public.b": {"rows": 8}}}, "table public.b: has 8 rows, recorded were 9"),
        ({"tables": {"public.v": {"rows": 0}}}, "table public.v: is ordinary, recorded was foreign"),
        ({"tables": {"public.new": {"rows": 1}}}, "table public.new: was not recorded"),
        ({"tables": {"public.a": None}}, "table public.a: is missing"),
        ({"extensions": {"vector": None}}, "extension vector: is missing"),
        ({"large_objects": {"hash": "8"}}, "large objects: their content"),
        ({"large_objects": {"count": 3}}, "large objects: 3, recorded were 1"),
        ({"encoding": "LATIN1"}, "encoding: 'LATIN1', recorded was 'UTF8'"),
    ],
)
def test_every_difference_is_named(change: dict[str, Any], said: str) -> None:
    """One sentence for each, with the database."""
    found = recorded()
    for key, value in change.items():
        if isinstance(value, dict):
            found[key] = {name: one for name, one in {**found[key], **value}.items() if one is not None}
        else:
            found[key] = value
    (one,) = differences("app", recorded(), found)
    assert one.startswith("database 'app', ")
    assert said in one


def test_another_version_of_an_extension_is_no_difference() -> None:
    """A dump names no version: that is told, and harms nothing."""
    found = recorded()
    found["extensions"]["vector"] = "0.9.0"
    assert differences("app", recorded(), found) == ()
    assert other_versions(recorded(), found) == ("extension vector comes back as 0.9.0, it was 0.8.0",)


def test_roles_of_a_script() -> None:
    """As they are quoted there, each once, whatever their names."""
    script = 'CREATE ROLE boss;\nALTER ROLE boss WITH LOGIN;\nCREATE ROLE "a""b;\nc";\nCREATE ROLE boss;\n-- end\n'
    assert roles_of(script) == ("boss", '"a""b;\nc"')


CANARY = "4711-secret"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            f'COPY failed for table "t t": ERROR:  invalid input syntax for type integer: "{CANARY}"\n{CANARY}',
            "table t t cannot be loaded: invalid input syntax for type integer",
        ),
        (
            f'COPY failed for table "t": ERROR:  value "{CANARY}" is out of range for type smallint',
            "table t cannot be loaded: a value is out of range for type smallint",
        ),
        (
            f'COPY failed for table "t": ERROR:  time zone "{CANARY}" not recognized',
            "table t cannot be loaded: time zone a value not recognized",
        ),
        (
            f'COPY failed for table "t": ERROR:  time zone "{CANARY}\n{CANARY}" not recognized',
            "table t cannot be loaded: time zone a value",
        ),
        (
            f'could not execute query: ERROR:  could not create unique index "k"\nDETAIL:  Key (a)=({CANARY}) is',
            'could not create unique index "k"',
        ),
        (
            'could not execute query: ERROR:  extension "vector" is not available\nCommand was: x',
            'extension "vector" is not available',
        ),
        ("could not read from input file: end of file", "could not read from input file"),
    ],
)
def test_reasons_have_no_values(said: str, told: str) -> None:
    """PostgreSQL quotes what it could not read; that stays away, the names stay."""
    found = reason(f"pg_restore: warning: x\npg_restore: error: {said}\n")
    assert found == told
    assert CANARY not in found


def test_a_reason_is_short_and_always_there() -> None:
    """Whatever was printed."""
    assert reason("ops-exec 7\n") == "pg_restore said nothing"
    assert len(reason("pg_restore: error: " + "x" * 9000)) == LONGEST

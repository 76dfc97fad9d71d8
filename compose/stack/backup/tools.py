"""Command lines of the stores' own tools, and the names of the files that they write."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from compose.stack.commands import Argv

LOCK_WAIT = 60
"""Seconds that a dump waits for a table that somebody has locked for himself."""
LONGEST_NAME = 100
ROOMLESS = (
    "No space left on device", "could not extend file", "Cannot allocate memory", "out of memory",
    "OutOfMemoryError", "bad_alloc", "MemoryError", "insufficient memory for the Java",
)  # fmt: skip
LEAST_MEMORY = 1024**3
LEAST_SECONDS = 3600
KILLED = (137, 143)
NO_PROGRAM = (126, 127)
_PLAIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", re.ASCII)


def file_stem(name: str) -> str:
    """A store's own name (of a database, of a collection) as a file name: equal names only for equal names.

    Letters, digits, `_`, `-` and inner dots stay; every other byte becomes `%XX`.
    """
    if _PLAIN.fullmatch(name) and len(name) <= LONGEST_NAME:
        return name
    raw = name.encode("utf-8", "surrogatepass")
    text = "".join(_encoded(byte, first=index == 0) for index, byte in enumerate(raw))
    if len(text) <= LONGEST_NAME:
        return text or "%"
    return f"{text[: LONGEST_NAME - 20]}%~{hashlib.sha256(raw).hexdigest()[:16]}"


def _encoded(byte: int, *, first: bool) -> str:
    letter = chr(byte)
    plain = byte < 128 and (letter.isalnum() or letter in "_-" or (letter == "." and not first))
    return letter if plain else f"%{byte:02X}"


def conninfo(database: str) -> str:
    """The database's name as a connection string, so that `=` and spaces in it mean nothing."""
    escaped = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


def pg_dump(database: str, snapshot: str) -> Argv:
    """The dump of one database in pg_dump's own format, uncompressed, of an exported snapshot."""
    options = ("--format=custom", "--compress=0", "--no-password", f"--lock-wait-timeout={LOCK_WAIT * 1000}")
    return ("pg_dump", *options, f"--snapshot={snapshot}", f"--dbname={conninfo(database)}")


def pg_dumpall_globals(*, passwords: bool) -> Argv:
    """Roles, their memberships and settings, and tablespaces.

    Args:
        passwords: With the roles' password hashes.
    """
    return ("pg_dumpall", "--globals-only", "--no-password", *(() if passwords else ("--no-role-passwords",)))


def psql(database: str) -> Argv:
    """A session that reads instructions and answers with fields and records that end in NUL."""
    options = ("--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--field-separator-zero")
    words = ("--record-separator-zero", "--no-password", "--set=ON_ERROR_STOP=1")
    return ("psql", *options, *words, f"--dbname={conninfo(database)}")


def pg_restore_read() -> Argv:
    """Read a whole dump from standard input; `--list` alone sees neither cut nor flipped bytes."""
    return ("pg_restore", "--file=/dev/null")


def pg_restore_into(database: str) -> Argv:
    """Load a dump from standard input into an empty database."""
    return ("pg_restore", "--exit-on-error", "--no-password", f"--dbname={conninfo(database)}")


def pg_restore_whole(*, owners: bool) -> Argv:
    """Make the database that a dump on standard input is of, and load it, on a server that has none of it.

    Args:
        owners: Its roles are there: objects get their owners and rights.
    """
    options = ("--create", "--clean", "--if-exists", "--exit-on-error", "--no-password", "--no-tablespaces")
    beyond = ("--no-publications", "--no-subscriptions", "--no-security-labels")
    return ("pg_restore", *options, *beyond, *(() if owners else ("--no-owner", "--no-acl")), "--dbname=template1")


def redis_cli(words: Sequence[str]) -> Argv:
    """One command to Redis from inside its container; the password is in REDISCLI_AUTH."""
    return ("redis-cli", "--raw", *words)


def redis_check_rdb() -> Argv:
    """Redis's own full read of an RDB on standard input."""
    return ("redis-check-rdb", "/dev/stdin")


def promtool_list(directory: str) -> Argv:
    """The blocks of a Prometheus database."""
    return ("promtool", "tsdb", "list", directory)


def neo4j_dump(database: str, directory: str) -> Argv:
    """A dump of a stopped Neo4j's database into a directory; `*` for every one, system included."""
    return ("neo4j-admin", "database", "dump", database, f"--to-path={directory}", "--overwrite-destination=true")


def memory_for(size: int, free: int | None) -> int:
    """Bytes of memory for a tool that loads a file: by its size, but no more than half of what is free.

    Args:
        size: Of the file; 0 where unknown.
        free: On the machine; None where unknown.
    """
    wanted = max(LEAST_MEMORY, size + size // 2 + LEAST_MEMORY // 2)
    return wanted if free is None else max(LEAST_MEMORY, min(wanted, free // 2))


def seconds_for(size: int) -> int:
    """How long a tool may read a file, by its size; slow disks read 4 MiB in a second."""
    return max(LEAST_SECONDS, size // (4 * 1024**2))


def ran_out(said: str) -> bool:
    """Whether a tool's words tell that it lacked memory or room."""
    return any(sign in said for sign in ROOMLESS)


def undecided(code: int, said: str, *, starved: bool) -> str:
    """Why the end of a tool says nothing about what it read; empty when it does.

    Args:
        said: What it printed.
        starved: The engine killed something of it for want of memory.
    """
    if code == 0:
        return ""
    if starved or ran_out(said):
        return "ran out of memory or of room"
    if code in KILLED:
        return "was killed"
    return "cannot be run in this image" if code in NO_PROGRAM else ""


def neo4j_check(database: str, directory: str) -> Argv:
    """Neo4j's own full check of a dump, beside no database."""
    where = (f"--from-path={directory}", f"--temp-path={directory}/work")
    return ("neo4j-admin", "database", "check", database, *where)


def postgres_port(environment: Mapping[str, str], command: Sequence[str]) -> int:
    """The port that a PostgreSQL server was told to use."""
    for flag, value in pairwise(command):
        if flag == "-p" and value.isdigit():
            return int(value)
    settings = [re.fullmatch(r"(?:-p|--port=|(?:-c|--)?port=)(\d+)", word) for word in command]
    found = next((one for one in settings if one), None)
    return int(found[1] if found else environment.get("PGPORT") or 5432)


def redis_passwords(environment: Mapping[str, str], command: Sequence[str]) -> tuple[str, ...]:
    """The passwords that a Redis server's command line and environment tell, the likeliest first."""
    words = " ".join((*command, environment.get("REDIS_ARGS", ""))).split()  # a shell's line is one word
    given = [value.strip("\"'") for flag, value in pairwise(words) if flag == "--requirepass"]
    named = ((value, re.fullmatch(r"\$\{?(\w+)\}?", value)) for value in given)
    found = [environment.get(name[1], "") if name else value for value, name in named]
    found += [environment[key] for key in ("REDISCLI_AUTH", "REDIS_PASSWORD") if environment.get(key)]
    return tuple(dict.fromkeys(one for one in found if one))


def redis_conf_password(text: str) -> str | None:
    """The password in the text of a redis.conf."""
    found = re.search(r"^\s*requirepass\s+(?:\"((?:[^\"\\]|\\.)*)\"|'([^']*)'|(\S+))", text, re.MULTILINE)
    if not found:
        return None
    return re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2] or found[3]

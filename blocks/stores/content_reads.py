"""Full reads of saved streams that need no store: archives, RDB files, SQLite, SQL, JSON."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from blocks.tar_end import Watched
from compose.stack.backup import rdb
from compose.stack.errors import Damaged, Failed

PORTION = 1024 * 1024
DATABASES = (".sqlite3", ".db", ".sqlite")
DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
STATEMENT = re.compile(
    r"(CREATE|ALTER|GRANT|REVOKE|SET|COMMENT|SELECT|RESET|SECURITY LABEL|UPDATE"
    r"|\\connect|\\restrict|\\unrestrict)\b",
    re.IGNORECASE,
)


class Reader(Protocol):
    """A stream that is pulled."""

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`, perhaps fewer; empty at the end."""


def portions(reader: Reader) -> Iterator[bytes]:
    """The stream in portions."""
    while data := reader.read(PORTION):
        yield data


def read_rdb(reader: Reader) -> dict[str, Any]:
    """Keys and expiries per database of an RDB; nothing may follow its end."""
    read = _buffered(reader)
    found = rdb.contents(read)
    if found.counted and read(1):
        raise Damaged("something follows its end", where="RDB")
    counts = {
        str(number): {"keys": count.keys, "expires": count.expires}
        for number, count in sorted(found.databases.items())
    }
    told = {"rdb_version": str(found.version), "redis_version": found.aux.get("redis-ver", "")}
    told |= {} if found.counted else {"not_counted": found.unknown}
    return {"databases": counts, "functions": found.functions, **told}


def _buffered(reader: Reader) -> rdb.Read:
    """Small reads out of big ones: an RDB is read field by field."""
    rest, at = b"", 0

    def read(size: int) -> bytes:
        nonlocal rest, at
        end = at + size
        if end <= len(rest):
            found = rest[at:end]
            at = end
            return found
        parts, left = [rest[at:]], size - (len(rest) - at)
        rest, at = b"", 0
        while left > 0 and (chunk := reader.read(PORTION)):
            parts.append(chunk[:left])
            if len(chunk) > left:
                rest, at = chunk, left
            left -= len(parts[-1])
        return b"".join(parts)

    return read


def read_tar(reader: Reader, index: Path | None = None) -> dict[str, Any]:
    """Every file of an archive to its end.

    Args:
        index: File with the archive's index: exactly the files that it lists must be there, in its order.

    Raises:
        Damaged: It is cut short or damaged, or holds something else.
    """
    files = size = 0
    expected = _listed(index) if index else None
    watched = Watched(reader)
    try:
        with _archive(watched) as archive:
            for member in archive:
                if not member.isfile():
                    continue
                digest = _digest(archive, member)
                files, size = files + 1, size + member.size
                if expected is not None:
                    _compare(next(expected, None), (member.name.removeprefix("./"), digest))
            watched.require_end(archive)
    except tarfile.TarError as error:
        raise Damaged(f"the archive cannot be read: {error}") from None
    if expected is not None:
        _compare(next(expected, None), None)
    return {"files": files, "bytes": size}


def _archive(reader: Reader | Watched) -> tarfile.TarFile:
    stream: Any = reader
    return tarfile.open(fileobj=stream, mode="r|")


def _digest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    source, digest, size = archive.extractfile(member), hashlib.sha256(), 0
    while source is not None and (data := source.read(PORTION)):
        digest.update(data)
        size += len(data)
    if size != member.size:
        raise Damaged(f"{member.name} is cut short")
    return digest.hexdigest()


def _listed(index: Path) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of the files that an index lists."""
    with index.open("rb") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry.get("kind") == "file":
                yield str(entry["path"]), str(entry["sha256"])


def _compare(listed: tuple[str, str] | None, found: tuple[str, str] | None) -> None:
    if listed != found:
        path, _ = found or listed or ("", "")
        raise Damaged(f"its files are not as its index lists them, the first is {path!r}")


def read_tar_databases(reader: Reader, spool: Path | None) -> dict[str, Any]:
    """SQLite's own check of every database in an archive, with its log beside it."""
    checked: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="ops-content-", dir=spool) as place:
        try:
            with _archive(reader) as archive:
                for index, member in enumerate(archive):
                    name = member.name.removesuffix("-wal").removesuffix("-shm")
                    if member.isfile() and name.endswith(DATABASES):
                        beside = Path(place, hashlib.sha256(name.encode()).hexdigest()[:32])
                        _extract(archive, member, beside.with_name(beside.name + member.name[len(name) :]))
                        checked.setdefault(name, index)
        except tarfile.TarError as error:
            raise Damaged(f"the archive cannot be read: {error}") from None
        for name in checked:
            path = Path(place, hashlib.sha256(name.encode()).hexdigest()[:32])
            if path.exists() and path.open("rb").read(15) == b"SQLite format 3":
                check_sqlite(path, name)
    return {"sqlite": len(checked)}


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    source = archive.extractfile(member)
    with path.open("wb") as file:
        while source is not None and (data := source.read(PORTION)):
            file.write(data)


def read_sqlite(reader: Reader, spool: Path | None) -> dict[str, Any]:
    """SQLite's own check of a saved database."""
    with tempfile.TemporaryDirectory(prefix="ops-content-", dir=spool) as place:
        path = Path(place, "database")
        with path.open("wb") as file:
            for data in portions(reader):
                file.write(data)
        return {"tables": check_sqlite(path, "database")}


def check_sqlite(path: Path, name: str) -> int:
    """SQLite's `integrity_check`; how many tables the database has.

    Raises:
        Damaged: It is damaged.
        Failed: It was not read to its end: no room, or a module of SQLite that is not here.
    """
    try:
        with sqlite3.connect(path) as connection:
            (said,) = connection.execute("PRAGMA integrity_check(5)").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE type='table'").fetchone()
        connection.close()
    except sqlite3.Error as error:
        kind = Damaged if getattr(error, "sqlite_errorcode", None) in DAMAGE else Failed
        raise kind(f"SQLite cannot read it: {error}", where=name) from None
    if said != "ok":
        raise Damaged(f"SQLite finds it damaged: {said}", where=name)
    return int(tables)


def read_globals(reader: Reader) -> dict[str, Any]:
    """The script of what a PostgreSQL cluster shares: known statements only, and its end mark."""
    text = b"".join(portions(reader)).decode("utf-8")
    if "PostgreSQL database cluster dump complete" not in text:
        raise Damaged("its last line is missing: it is cut short")
    roles, quoted = 0, False
    for line in text.splitlines():
        begins = not quoted and line.strip() and not line.startswith("--")
        if begins and not STATEMENT.match(line):
            raise Damaged(f"a line begins with {line.split()[0][:20]!r}, which is no statement of such a script")
        roles += bool(begins and line.startswith("CREATE ROLE"))
        quoted ^= line.count("'") % 2 == 1
    return {"roles": roles}


def read_json(reader: Reader) -> dict[str, Any]:
    """A JSON document."""
    try:
        json.loads(b"".join(portions(reader)))
    except ValueError as error:
        raise Damaged(f"it is no JSON: {error}") from None
    return {}


def read_json_lines(reader: Reader) -> dict[str, Any]:
    """Lines of JSON."""
    lines, rest = 0, b""
    try:
        for data in portions(reader):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                json.loads(line)
                lines += 1
    except ValueError as error:
        raise Damaged(f"line {lines + 1} is no JSON: {error}") from None
    if rest:
        raise Damaged("its last line is cut short")
    return {"lines": lines}


def read_hash(reader: Reader, expected: str, what: str) -> dict[str, Any]:
    """The SHA-256 of a stream, which must be this one."""
    digest = hashlib.sha256()
    for data in portions(reader):
        digest.update(data)
    if digest.hexdigest() != expected:
        raise Damaged(f"its SHA-256 is not the one {what}")
    return {"sha256": expected}

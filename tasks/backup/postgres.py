"""PostgreSQL: every database as of one exported snapshot each, and what the cluster shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from blocks.exec_stream import reading
from blocks.stores.postgres import Access, Session
from blocks.stores.postgres_access import access_of, first_session
from blocks.stores.postgres_fingerprint import fingerprinting, sequences
from compose.stack.backup import postgres_sql as sql
from compose.stack.backup import tools
from compose.stack.backup.component import Place
from compose.stack.backup.manifest import FileRecord
from compose.stack.errors import Failed, Refused
from tasks.backup.content import content_check
from tasks.backup.data_place import places_with
from tasks.backup.pouring import pour, reached, stored
from tasks.backup.procedure import Saved, Saving
from tasks.backup.rest import save_rest

DIRECTORY = "postgres"
GLOBALS = f"{DIRECTORY}/globals.sql"
MAGIC = b"PGDMP"


@dataclass
class Held:
    """A database whose moment is fixed.

    Args:
        holder: The session whose transaction keeps the snapshot alive.
        sequences: Their values before that moment.
        size: Bytes on the server's disk.
    """

    name: str
    size: int
    holder: Session
    snapshot: str
    sequences: dict[str, int]

    @property
    def file(self) -> str:
        """Its file, below the component's directory."""
        return f"{tools.file_stem(self.name)}.dump"

    @property
    def path(self) -> str:
        """Its file in the backup."""
        return f"{DIRECTORY}/{self.file}"


class PostgresProcedure:
    """Dumps by the server's own pg_dump, each through a snapshot, fingerprints through the same one beside.

    All snapshots are exported at first where they have to be of one moment, else one after the other: each takes
    a session for as long as it is held.
    """

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.held: list[Held] = []
        self.databases: list[tuple[str, int]] = []
        self.left_out: list[str] = []
        self.access: Access | None = None
        self.moment: datetime | None = None
        self.unproven: list[str] = []
        self.places: tuple[Place, ...] = ()

    def early(self) -> None:
        """See that every database can be held at once, before anybody stands still for it.

        Raises:
            Failed: The server lets nobody in.
            Refused: It has room for fewer sessions.
        """
        self._look()

    def open(self) -> None:
        """Look at every database; export a snapshot in each, where all have to be of one moment.

        Raises:
            Failed: The server lets nobody in, or a database lets nobody in.
            Refused: It has room for fewer sessions than it has databases.
        """
        access = self._look()
        self.moment = datetime.now(UTC)
        if self.saving.consistency:
            for name, size in self.databases:
                self.held.append(_hold(access, name, size))

    def _look(self) -> Access:
        """What there is now."""
        component = self.saving.component
        access = self.access or access_of(self.saving.work.engine, component.container, component.options)
        first = first_session(access)
        try:
            ((data, *_),) = first.rows(sql.PLACES, 3)
            self.places = places_with(self.saving, access.asked.mounts, data)
            found = first.rows(sql.DATABASES, 3)
            ((most, others),) = first.rows(sql.CONNECTIONS, 2)
        finally:
            first.close()
        self.databases = [(name, int(size)) for name, saved, size in found if saved == "true"]
        self.left_out = [name for name, saved, _ in found if saved != "true"]
        if self.saving.consistency:
            require_sessions(component.name, len(self.databases), int(most), int(others))
        self.access = access
        return access

    def save(self) -> Saved:
        """Dump what the snapshots show.

        Raises:
            Failed: A dump did not end well, or a check did not understand it.
        """
        assert self.access is not None
        self.unproven.clear()
        globals_file, role_note = self._globals(self.access)
        files, found = [globals_file], {}
        for held in self._each(self.access):
            record, described = self._database(self.access, held)
            files.append(record)
            found[held.name] = described
        rest = save_rest(self.saving)
        version = next((one["server_version"] for one in found.values()), "")
        notes = [f"database {name} is a template or allows no connections: not saved" for name in self.left_out]
        checked, unproven = reached(self.saving, {"unproven": self.unproven})
        return Saved(
            tool="pg_dump",
            tool_version=version,
            files=(*files, *rest.files),
            fingerprint={
                "databases": found,
                "tables": sum(len(one["tables"]) for one in found.values()),
                "rows": sum(t.get("rows", 0) for one in found.values() for t in one["tables"].values()),
                "hash": sql.HASH,
                "sequences": "lower bounds",
                **self._login(),
                **rest.fingerprint,
            },
            moment=self.moment,
            places=self.places,
            checked=checked,
            left_out=(*(("password hashes of PostgreSQL's roles",) if role_note else ()), *rest.left_out),
            notes=(*role_note, *notes, *unproven, *rest.notes),
        )

    def close(self) -> None:
        """End the transactions that hold the snapshots."""
        for held in self.held:
            with suppress(Exception):
                held.holder.close()
        self.held.clear()

    def _each(self, access: Access) -> Iterator[Held]:
        """The databases: those that are held, or else one at a time, each with a snapshot of its own."""
        if self.saving.consistency:
            yield from self.held
            return
        for name, size in self.databases:
            self.held.append(_hold(access, name, size))
            yield self.held[-1]
            self.close()

    def _login(self) -> dict[str, Any]:
        """What the file says of how one gets in: whoever restores by hand needs it too."""
        return {key: value for key, value in self.saving.component.options.items() if key in ("user", "port")}

    def _globals(self, access: Access) -> tuple[FileRecord, tuple[str, ...]]:
        hashes = self.saving.files.sealed
        note = () if hashes else ("password hashes of roles are left out: nothing encrypts them",)
        argv = tools.pg_dumpall_globals(passwords=hashes)
        with self.saving.files.file(GLOBALS, secret=hashes) as sink:
            self._run(access, argv, sink, GLOBALS, b"")
        return stored(sink, GLOBALS), note

    def _database(self, access: Access, held: Held) -> tuple[FileRecord, dict[str, Any]]:
        """One database's dump and, at the same time, its fingerprint."""
        limit = int(str(self.saving.component.options.get("hash_limit") or sql.HASH_LIMIT))
        argv = tools.pg_dump(held.name, held.snapshot)
        with (
            fingerprinting(lambda: _seeing(access, held), limit) as described,
            self.saving.files.file(held.path, estimate=held.size) as sink,
        ):
            checked = self._run(access, argv, sink, held.path, MAGIC)
            found = described()
        return stored(sink, held.path), {"file": held.file, **found, "sequences": held.sequences, **checked}

    def _run(self, access: Access, argv: tuple[str, ...], sink: Any, path: str, magic: bytes) -> dict[str, Any]:
        """Stream a tool's output into a file; what the check of its content found."""
        component = self.saving.component
        engine = self.saving.work.engine
        check = None
        if self.saving.verify == "content":
            check = content_check(component.kind, path, None, engine, access.asked.container.image_id)
        with reading(engine, access.asked.id, argv, environment=access.environment) as running:
            written = pour(self.saving, _begins_with(magic, running, path), sink, check)
            try:
                running.done()
            except BaseException:
                if check is not None:
                    check.abandon()
                raise
        if not written:
            raise Failed(f"{argv[0]} wrote nothing", where=path)
        found = check.finish() if check is not None else {}
        self.unproven += found.pop("unproven", ())
        return {"checked": found} if found else {}


def require_sessions(name: str, databases: int, most: int, others: int) -> None:
    """See that a session for each database fits beside those that there are.

    Args:
        most: `max_connections`.
        others: Sessions of others.

    Raises:
        Refused: They do not.
    """
    need, room = databases + sql.BESIDE, most - others
    if need > room:
        raise Refused(
            f"its {databases} databases take {need} sessions at one moment, and {room} of {most} are free",
            where=name,
            next="raise max_connections, or back it up without --consistency",
        )


def _hold(access: Access, name: str, size: int) -> Held:
    session = access.session(name)
    try:
        before = sequences(session)
        session.rows(sql.BEGIN)
        (snapshot,) = session.rows(sql.EXPORT)[0]
    except BaseException:
        session.close()
        raise
    return Held(name, size, session, snapshot, before)


def _seeing(access: Access, held: Held) -> Session:
    """A session that sees what the snapshot shows."""
    session = access.session(held.name)
    try:
        session.rows(sql.BEGIN)
        session.rows(sql.import_snapshot(held.snapshot))
    except BaseException:
        session.close()
        raise
    return session


def _begins_with(magic: bytes, chunks: Any, path: str) -> Iterator[bytes]:
    """The same stream; proven to begin as it must."""
    first = True
    for chunk in chunks:
        if first and not chunk.startswith(magic):
            raise Failed("what came is no dump", where=path)
        first = False
        yield chunk

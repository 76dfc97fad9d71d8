"""A PostgreSQL server of its own for one dump: it is loaded there, described, and gone again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from blocks.engine import Engine
from blocks.exec_stream import feeding
from blocks.polling import poll
from blocks.stores.containers import ask_container
from blocks.stores.postgres import Access
from blocks.stores.postgres_fingerprint import fingerprint
from blocks.stores.scratch import LIMIT, MEBIBYTE, WORK, Tool, standing
from compose.stack.backup import tools
from compose.stack.backup.postgres_compare import computed, reason
from compose.stack.errors import Damaged, Failed

START = f"""
initdb -N -U postgres -A trust -E UTF8 --locale=C -D {WORK}/data >/dev/null || exit 70
postgres -D {WORK}/data -c listen_addresses= -c unix_socket_directories={WORK} -c port=5432 \\
  -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0 \\
  -c autovacuum=off -c checkpoint_timeout=1h -c max_wal_size=2GB -c shared_buffers=128MB \\
  -c maintenance_work_mem=128MB -c max_parallel_workers=0 -c max_parallel_maintenance_workers=0 \\
  -c logging_collector=off -c log_min_messages=fatal -c log_min_error_statement=panic &
wait $!
"""
"""The shell stays the first process: a server that is one takes strangers' ends for crashes of its own."""

LOAD = f"""
"$@" 2>{WORK}/said
code=$?
cat >/dev/null
head -c 4000 {WORK}/said >&2
exit $code
"""
"""What is left of the input is read: nobody waits for a program that has ended."""

MEMORY = 1024 * MEBIBYTE
READY = 120.0
SUPERUSERS = ("", "root", "0")
PRELOADED = "shared_preload_libraries"
HUGE = 2**62


class CannotTell(Exception):
    """Nothing is known of the dump: it is this machine, or this way of looking, that does not do."""


@contextmanager
def scratch_postgres(engine: Engine, image: str, memory: int = MEMORY) -> Iterator[Access]:
    """An empty server of an image: no network, everybody who is in its container is its superuser.

    Args:
        memory: Limit in bytes.

    Raises:
        CannotTell: It does not start.
    """
    with _standing(engine, image, memory) as made:
        if not poll(lambda: _ready(engine, made) or not _runs(engine, made), READY) or not _runs(engine, made):
            said = engine.logs(made, 5).strip()[-300:]
            raise CannotTell(f"no scratch PostgreSQL server starts of {image}: {said}")
        try:
            asked = ask_container(engine, made)
        except Failed as error:
            raise CannotTell(str(error)) from None
        yield Access(asked, "postgres", None, 5432, WORK)


@contextmanager
def _standing(engine: Engine, image: str, memory: int) -> Iterator[str]:
    owner = str(((engine.image(image) or {}).get("Config") or {}).get("User") or "")
    user = "postgres" if owner.partition(":")[0] in SUPERUSERS else owner
    place = standing(engine, image, Tool(("sh", "-c", START), memory, disk=True, user=user))
    try:
        made = place.__enter__()
    except Failed as error:
        raise CannotTell(f"no scratch container of {image}: {error.what}") from None
    try:
        yield made
    finally:
        place.__exit__(None, None, None)


def load(access: Access, roles: Sequence[str], chunks: Iterable[bytes]) -> None:
    """Make the database of a dump.

    Args:
        roles: As a globals script quotes them; without any, nothing gets an owner or rights.
        chunks: The dump.

    Raises:
        Damaged: The dump cannot be loaded; why, without values.
        CannotTell: The scratch server had no room, is not set up as the dump's extensions want, or lacks what a
            materialized view reads beyond the dump: another server's tables.
    """
    _make_roles(access, roles)
    engine, container = access.asked.engine, access.asked.id
    argv = ("sh", "-c", LOAD, "sh", *tools.pg_restore_whole(owners=bool(roles)))
    try:
        with feeding(engine, container, argv, environment=_environment(access), idle=LIMIT) as running:
            for chunk in chunks:
                running.send(chunk)
            running.end_input()
            for _ in running:
                pass
            code, said = running.code(), running.wire.errors
    except Failed as error:
        raise CannotTell(f"it was not loaded to its end: {error.what}") from None
    if code:
        _require_room(access, said)
        if computed(said):
            raise CannotTell(f"what a dump does not hold could not be computed again: {reason(said)}")
        raise Damaged(reason(said))


def describe(access: Access, database: str, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What was loaded, described as it was when it was saved.

    Args:
        recorded: The fingerprint of then; it says which tables are hashed.

    Raises:
        Damaged: The server refused a query; nothing of its answer is in the message.
        CannotTell: The scratch server had no room.
    """
    hashed = [name for name, one in (recorded.get("tables") or {}).items() if "hash" in one]
    limit = HUGE if "hash" in (recorded.get("large_objects") or {}) else 0
    try:
        session = access.session(database)
        try:
            return fingerprint(session, limit, hashed=frozenset(hashed))
        finally:
            session.close()
    except Failed as error:
        _require_room(access, error.what)
        raise Damaged(f"database {database!r} was loaded and cannot be read") from None


def _environment(access: Access) -> dict[str, str]:
    return {**access.environment, "PGOPTIONS": "-c default_transaction_read_only=off -c client_min_messages=error"}


def _make_roles(access: Access, roles: Sequence[str]) -> None:
    """All of them superusers: what a dump may do must not hang on what else they were given."""
    for role in roles:
        with suppress(Failed):  # its superuser is there already
            session = access.session("template1")
            try:
                session.rows(f"CREATE ROLE {role} SUPERUSER")
            finally:
                session.close()


def _require_room(access: Access, said: str) -> None:
    """Tell what the machine lacked from what the dump lacks."""
    try:
        found = access.asked.engine.inspect(access.asked.id)
    except Failed as error:
        raise CannotTell(error.what) from None
    if found is None or not found.running or found.oom_killed or tools.ran_out(said):
        raise CannotTell("the scratch PostgreSQL server ran out of memory or of room")
    if PRELOADED in said:
        raise CannotTell(f"an extension wants {PRELOADED}, which a scratch server has not")


def _runs(engine: Engine, container: str) -> bool:
    found = engine.inspect(container)
    return found is not None and found.running


def _ready(engine: Engine, container: str) -> bool:
    return engine.run_in(container, ("pg_isready", "-q", "-h", WORK, "-p", "5432"), 10.0)[0] == 0

"""PostgreSQL: our dump with its hashes against what people run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench.backup_site import DATABASE, DB, USER, Site, component, site
from bench.engine import docker
from bench.peers import Restic, piped, synced
from bench.place import Place, timed
from bench.reckon import in_turn, speed, tables
from bench.tally import Row, Tally
from blocks.backup.writer import BackupWriter
from blocks.engine import Engine
from compose.stack.backup.ids import backup_id
from compose.stack.backup.request import BackupRequest
from flows.deploy_stack import open_work
from tasks.backup import postgres
from tasks.backup.prepare import prepare
from tasks.backup.procedure import Saving
from tasks.backup.saving import Under

COMMAND, ALONE, BARE = "pg: whole command", "pg: procedure", "pg: procedure without fingerprint"
PIPE, PIPE_SYNCED, PLAIN = "pg: pg_dump | zstd", "pg: pg_dump | zstd, on disk", "pg: pg_dump -Fc"
RESTIC, TAR = "pg: pg_dump | restic", "pg: tar"
RATE = "MB/s"

ROWS = (
    Row("PostgreSQL: our dump, hashes included, on disk, against `pg_dump -Fc -Z0 | zstd -3 -T0 > file`",
        BARE, PIPE, ">= 0.9 x", RATE),
    Row("the same, against that pipeline with its file on disk too", BARE, PIPE_SYNCED, "", RATE),
    Row("the same with the fingerprint beside it (counts, hashes of small tables)", ALONE, PIPE, "", RATE),
    Row("the same as a whole command, against `pg_dump -Fc > file`", COMMAND, PLAIN, "> 1 x", RATE),
    Row("the same, against `pg_dump | restic backup --stdin`", COMMAND, RESTIC, "> 1 x", RATE),
    Row("the same, against `tar -cz` of the stopped volume", COMMAND, TAR, "> 1 x", RATE),
    Row("of the whole command: all but the component (start, look, manifest)", "pg: flow"),
    Row("fingerprint: what it adds to the dump", "pg: fingerprint"),
)  # fmt: skip


@contextmanager
def filled(place: Place, size: int) -> Iterator[Site]:
    """A server with so many bytes of rows."""
    with site(place, "t-bench-backup-db", {"db": DB}, ("pg",)) as made:
        fill(made, size)
        yield made


def fill(made: Site, size: int) -> None:
    """Make the tables; nothing is left for the server to do in the background."""
    for table in tables(size):
        _psql(made, table.sql)
    _psql(made, "VACUUM ANALYZE")
    _psql(made, "CHECKPOINT")


def measure(made: Site, tally: Tally, index: int, *, slow: bool) -> None:
    """One pair of everything, forwards or backwards.

    Args:
        index: Number of the pair, from 0.
        slow: With the peers that take a minute and more.
    """
    size = int(_psql(made, f"SELECT pg_database_size('{DATABASE}')"))
    steps = [_pipe, _alone, _command, *((_plain, _restic, _tar) if slow else ())]
    for at in in_turn(len(steps), index):
        os.sync()  # what the one before wrote is not paid by the next
        steps[at](made, tally, size)


def _dump(made: Site, *options: str) -> tuple[str, ...]:
    container = docker(*made.project.compose("ps", "-q", "db")[1:]).strip()
    return ("docker", "exec", container, "pg_dump", "-U", USER, *options, DATABASE)


def _psql(made: Site, script: str) -> str:
    words = ("exec", "-T", "db", "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", USER, "-c", script)
    return docker(*made.project.compose(*words)[1:], DATABASE).strip()


def _pipe(made: Site, tally: Tally, size: int) -> None:
    path = made.place.files / "peer.dump.zst"
    seconds = piped(_dump(made, "-Fc", "-Z0"), ("zstd", "-3", "-T0", "-q"), into=path)
    tally.add(PIPE, speed(size, seconds))
    tally.add(PIPE_SYNCED, speed(size, seconds + synced(path)))
    path.unlink()


def _plain(made: Site, tally: Tally, size: int) -> None:
    path = made.place.files / "peer.dump"
    tally.add(PLAIN, speed(size, piped(_dump(made, "-Fc"), into=path)))
    path.unlink()


def _restic(made: Site, tally: Tally, size: int) -> None:
    peer = Restic(made.place.files / "restic")
    tally.add(RESTIC, speed(size, peer.run(_dump(made), ("restic", "backup", "-q", "--stdin"))))
    shutil.rmtree(peer.place)


def _tar(made: Site, tally: Tally, size: int) -> None:
    path = made.place.files / "peer.tar.gz"
    docker(*made.project.compose("stop", "db")[1:])
    try:
        words = ("tar", "-C", str(made.directory("pg")), "-cz", ".")
        tally.add(TAR, speed(size, piped(words, into=path)))
    finally:
        path.unlink(missing_ok=True)
        docker(*made.project.compose("up", "-d", "--wait", "--pull", "never", "db")[1:])


def _command(made: Site, tally: Tally, size: int) -> None:
    made.fresh()
    done = made.backup("db")
    took = float(component(done, "db")["seconds"])
    tally.add(COMMAND, speed(size, done.seconds))
    tally.add("pg: flow", done.seconds - took)
    made.fresh()


def _alone(made: Site, tally: Tally, size: int) -> None:
    os.sync()
    bare = save(made, fingerprint=False)
    os.sync()
    whole = save(made, fingerprint=True)
    tally.add(BARE, speed(size, bare))
    tally.add(ALONE, speed(size, whole))
    tally.add("pg: fingerprint", whole - bare)


def save(made: Site, *, fingerprint: bool) -> float:
    """Our procedure with the real writer and target, in this process; seconds."""
    made.fresh()
    words = {"files": [str(made.project.file)], "project_name": made.project.name, "only": ["db"]}
    request = BackupRequest(**words, to=[f"bench={made.target}"])
    work = open_work(made.place.home, request, Engine.connect())
    prepared = prepare(work, request)
    prepared.refuse()
    (wanted,), (target,) = prepared.components, prepared.targets
    writer = BackupWriter({target.name: target}, "bench-00000000", backup_id(datetime.now(UTC), os.urandom(4)))
    nothing: Any = None
    saving = Saving(work, wanted, Under(writer, wanted.name), nothing, Path(made.place.files))
    procedure = postgres.PostgresProcedure(saving)
    try:
        if fingerprint:
            return timed(procedure.open, procedure.save)
        with patch.object(postgres, "fingerprinting", _no_fingerprint):
            return timed(procedure.open, procedure.save)
    finally:
        procedure.close()
        made.fresh()


@contextmanager
def _no_fingerprint(*_: object) -> Iterator[Callable[[], dict[str, Any]]]:
    yield lambda: {"server_version": "", "tables": {}}

"""PostgreSQL saved while it works: snapshots, dumps, fingerprints, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from blocks.engine import Engine
from blocks.exec_stream import feeding, reading
from blocks.polling import poll
from blocks.stores.postgres_access import access_of
from blocks.stores.postgres_fingerprint import fingerprint
from compose.stack.backup import tools
from compose.stack.backup.component import Kind
from compose.stack.errors import Failed
from tasks.backup.content import content_check
from tasks.backup.postgres import PostgresProcedure
from tasks.backup.procedure import Saved, Saving
from tests.fakes.backup_files import MemoryFiles
from tests.lab import REPOSITORY
from tests.store_lab import PASSWORD, POSTGRES, postgres, processes, psql, saving

pytestmark = [pytest.mark.engine, pytest.mark.stack]

ODD = 'o\'dd = "n\\ame" ü'
NEWLINE = "two\nlines"
CONTENT = """
CREATE TABLE "t t"(id serial PRIMARY KEY, t text, at timestamptz DEFAULT now(), b bytea);
INSERT INTO "t t"(t, b) SELECT repeat(md5(i::text), 3), '\\x00ff' FROM generate_series(1, 5000) i;
CREATE SCHEMA "S;x";
CREATE TABLE "S;x"."a""b"(z int, y float8, a text) PARTITION BY LIST (z);
CREATE TABLE "S;x".p1 PARTITION OF "S;x"."a""b" FOR VALUES IN (1);
INSERT INTO "S;x"."a""b" VALUES (1, 0.1, 'one'), (1, 1e300, NULL);
CREATE TABLE parent(a int); CREATE TABLE child(b text) INHERITS (parent);
INSERT INTO parent VALUES (1); INSERT INTO child VALUES (2, 'x');
CREATE TABLE none(); INSERT INTO none DEFAULT VALUES;
CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM "t t";
CREATE EXTENSION IF NOT EXISTS vector; CREATE TABLE v(e vector(3)); INSERT INTO v VALUES ('[1,2,3]');
SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'));
CREATE ROLE reader LOGIN PASSWORD 'another-canary-7'; GRANT SELECT ON "t t" TO reader;
ALTER DATABASE app SET work_mem = '8MB'; GRANT CONNECT ON DATABASE app TO reader
"""


def save(given: Saving) -> Saved:
    procedure = PostgresProcedure(given)
    try:
        procedure.open()
        return procedure.save()
    finally:
        procedure.close()
        procedure.close()


def fill(made: Any) -> None:
    psql(made, CONTENT)
    for name in (ODD, NEWLINE):
        quoted = '"' + name.replace('"', '""') + '"'
        made_it = made.exec_run(["psql", "-U", "boss", "-d", "app", "-c", f"CREATE DATABASE {quoted}"])
        assert made_it.exit_code == 0, made_it.output
    where = tools.conninfo(ODD)
    done = made.exec_run(["psql", "-U", "boss", "-d", where, "-c", "CREATE TABLE x AS SELECT 1 AS one"])
    assert done.exit_code == 0, done.output


@contextmanager
def restored(dump: bytes, globals_script: bytes) -> Iterator[Any]:
    """A fresh server with one database `fresh` of a dump."""
    engine = Engine.connect()
    with postgres("t-backup-pg-restored", network_mode="none") as made:
        with feeding(engine, made.id, ("psql", "-q", "-U", "boss", "-d", "app")) as running:
            running.send(globals_script)
            running.end_input()
            assert not b"".join(running)
            running.code()
        psql(made, "CREATE DATABASE fresh TEMPLATE template0")
        argv = (*tools.pg_restore_into("fresh"), "-U", "boss")
        with feeding(engine, made.id, argv) as running:
            running.send(dump)
            running.end_input()
            for _ in running:
                pass
            running.done()
        yield made


def described(made: Any, database: str) -> dict[str, Any]:
    session = access_of(Engine.connect(), made.id).session(database)
    try:
        return fingerprint(session)
    finally:
        session.close()


@pytest.mark.parametrize("network", ["bridge", "none"])
def test_everything_is_saved_and_comes_back_as_the_fingerprint_says(network: str, tmp_path: Path) -> None:
    """Also where no network leads to it: all databases, whatever their names; restored, they hash to the same."""
    files = MemoryFiles()
    with postgres("t-backup-pg", network_mode=network) as made:
        fill(made)
        saved = save(saving(made, Kind.POSTGRES, tmp_path, files, verify="content"))
        assert "terminated by signal" not in made.logs().decode()
    databases = saved.fingerprint["databases"]
    assert set(databases) == {"app", "postgres", ODD, NEWLINE}
    assert {one["file"] for one in databases.values()} == {path.partition("/")[2] for path in files.plain} - {
        "globals.sql"
    }
    assert saved.checked == "content"
    assert saved.tool_version == "16.14"
    tables = databases["app"]["tables"]
    assert tables['public."t t"']["rows"] == 5000
    assert tables["public.parent"]["rows"] == 1
    assert tables['"S;x"."a""b"'] == {"kind": "partitioned"}
    assert databases["app"]["extensions"]["vector"]
    assert databases["app"]["large_objects"]["count"] == 1
    assert databases["app"]["sequences"] == {'public."t t_id_seq"': 5000}
    odd = next(path for path in files.plain if path.endswith(databases[ODD]["file"]))
    for name, path in (("app", "postgres/app.dump"), (ODD, odd)):
        with restored(files.plain[path], files.plain["postgres/globals.sql"]) as fresh:
            again = described(fresh, "fresh")
        for key in ("tables", "large_objects", "extensions", "encoding"):
            assert again[key] == databases[name][key], key


def test_the_dump_keeps_the_settings_of_its_database(tmp_path: Path) -> None:
    """Owner, rights and ALTER DATABASE SET are in what pg_restore -C prints; roles' hashes in the globals."""
    files = MemoryFiles()
    with postgres("t-backup-pg") as made:
        psql(made, CONTENT)
        save(saving(made, Kind.POSTGRES, tmp_path, files))
        argv = ("pg_restore", "-C", "-s", "-f", "-")
        with feeding(Engine.connect(), made.id, argv) as running:
            threading.Thread(target=_give, args=(running, files.plain["postgres/app.dump"])).start()
            script = b"".join(running).decode()
    assert "ALTER DATABASE app SET work_mem TO '8MB'" in script
    assert "GRANT CONNECT ON DATABASE app TO reader" in script
    assert "ALTER DATABASE app OWNER TO boss" in script
    assert b"SCRAM-SHA-256" in files.plain["postgres/globals.sql"]
    assert files.records["postgres/globals.sql"].secret


def _give(running: Any, data: bytes) -> None:
    with contextlib.suppress(Failed):  # it reads no further than the settings
        running.send(data)
        running.end_input()


def test_without_encryption_no_hash_of_a_password_is_written(tmp_path: Path) -> None:
    """The globals are there without passwords, and the notes say so; nothing shows our own."""
    files = MemoryFiles(sealed=False)
    with postgres("t-backup-pg") as made:
        psql(made, CONTENT)
        saved = save(saving(made, Kind.POSTGRES, tmp_path, files))
    assert b"CREATE ROLE reader" in files.plain["postgres/globals.sql"]
    assert b"SCRAM" not in files.plain["postgres/globals.sql"]
    assert any("left out" in note for note in saved.notes)
    assert PASSWORD not in repr(saved)


def test_what_was_acknowledged_before_is_there_and_nothing_of_later(tmp_path: Path) -> None:
    """Under writers at full load: every row acknowledged before the snapshot, none sent after it was taken."""
    files = MemoryFiles()
    stop = threading.Event()
    with postgres("t-backup-pg") as made:
        psql(made, "CREATE TABLE w(writer int, n int, PRIMARY KEY (writer, n))")
        acknowledged, sent = [0] * 4, [0] * 4
        address = made.attrs["NetworkSettings"]["IPAddress"]

        def write(writer: int) -> None:
            with psycopg.connect(
                host=address, user="boss", password=PASSWORD, dbname="app", autocommit=True
            ) as connection:
                while not stop.is_set():
                    sent[writer] += 1
                    connection.execute("INSERT INTO w VALUES (%s, %s)", (writer, sent[writer]))
                    acknowledged[writer] = sent[writer]

        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for one in writers:
            one.start()
        given = saving(made, Kind.POSTGRES, tmp_path, files)
        given.consistency = True
        procedure = PostgresProcedure(given)
        try:
            assert poll(lambda: min(acknowledged) > 50, 30)
            before = list(acknowledged)
            procedure.open()
            after = list(sent)
            goal = [n + 50 for n in after]
            assert poll(lambda: all(a > g for a, g in zip(acknowledged, goal, strict=True)), 30)
            saved = procedure.save()
        finally:
            stop.set()
            procedure.close()
            for one in writers:
                one.join()
    with restored(files.plain["postgres/app.dump"], files.plain["postgres/globals.sql"]) as fresh:
        lines = psql(fresh, "SELECT writer, count(*), max(n) FROM w GROUP BY 1 ORDER BY 1", "fresh").splitlines()
    rows = [tuple(int(part) for part in line.split("|")) for line in lines]
    assert [count for _, count, _ in rows] == [most for _, _, most in rows]
    assert all(before[writer] <= most <= after[writer] for writer, _, most in rows)
    assert saved.fingerprint["databases"]["app"]["tables"]["public.w"]["rows"] == sum(row[1] for row in rows)


DIES = """
import os, signal, sys
from pathlib import Path
from blocks.engine import Engine
from compose.stack.backup.component import Kind
from tasks.backup.postgres import PostgresProcedure
from tests.fakes.backup_files import MemoryFiles, MemorySink
from tests.store_lab import saving

class Dies(MemorySink):
    def write(self, data):
        super().write(data)
        if self.size > 1 << 20:
            print("writing", flush=True)
            sys.stdin.read()

import tests.fakes.backup_files as fake
fake.MemorySink = Dies
made = Engine.connect().client.containers.get(sys.argv[1])
procedure = PostgresProcedure(saving(made, Kind.POSTGRES, Path("/tmp")))
procedure.open()
procedure.save()
"""
SESSIONS = (
    "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


def big(made: Any) -> None:
    psql(made, "CREATE TABLE b AS SELECT i, repeat(md5(i::text), 30) t FROM generate_series(1, 30000) i")


def nothing_left(made: Any) -> None:
    assert poll(lambda: not any("pg_dump" in line for line in processes(made)), 30), processes(made)
    assert poll(lambda: psql(made, SESSIONS) == "0", 30), psql(made, "SELECT * FROM pg_stat_activity")
    assert "terminated by signal" not in made.logs().decode()


def test_a_killed_backup_leaves_no_dump_and_no_snapshot() -> None:
    """SIGKILL in mid-stream: the dump in the container ends, every session too, and the server goes on."""
    with postgres("t-backup-pg") as made:
        big(made)
        process = subprocess.Popen(
            [sys.executable, "-c", DIES, made.id], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"writing\n"
            assert any("pg_dump" in line for line in processes(made))
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        nothing_left(made)


def test_a_target_that_fails_leaves_no_dump_and_no_snapshot(tmp_path: Path, monkeypatch: Any) -> None:
    """The writer raises in mid-stream: the error comes out, the file is gone, the container is clean."""
    files = MemoryFiles()
    with postgres("t-backup-pg") as made:
        big(made)
        given = saving(made, Kind.POSTGRES, tmp_path, files, verify="content")
        total = [0]

        def full(count: int) -> None:
            total[0] += count
            if total[0] > 1 << 20:
                raise Failed("no space left", where="target")

        given.progress = full
        with pytest.raises(Failed, match="no space left"):
            save(given)
        assert "postgres/app.dump" not in files.plain
        nothing_left(made)
        assert not Engine.connect().client.containers.list(all=True, filters={"label": "org.sutazai.scratch"})


def test_a_killed_dump_fails_the_backup(tmp_path: Path) -> None:
    """pg_dump killed in the container: no success; what it said or its code is in the error."""
    with postgres("t-backup-pg") as made:
        big(made)
        given = saving(made, Kind.POSTGRES, tmp_path)
        given.progress = lambda _: made.exec_run(["sh", "-c", "kill $(pgrep -x pg_dump || pidof pg_dump)"])
        killing = made.exec_run(["sh", "-c", "command -v pgrep pidof"]).exit_code == 0
        if not killing:
            given.progress = lambda _: _kill_on_host(made)
        with pytest.raises(Failed, match="pg_dump ended with code"):
            save(given)


def _kill_on_host(made: Any) -> None:
    for line in made.top()["Processes"]:
        if line[7].startswith("pg_dump "):
            with contextlib.suppress(ProcessLookupError):  # the last look may have ended it already
                os.kill(int(line[1]), signal.SIGTERM)


def test_many_short_commands_do_not_disturb_the_server() -> None:
    """Forty commands, read to their end or given up: the server, first process of its container, restarts none
    of its sessions (it would, if it became the parent of one that ends by a signal)."""
    engine = Engine.connect()
    with postgres("t-backup-pg") as made:
        for turn in range(40):
            argv = ("sh", "-c", "echo x; sleep 30") if turn % 2 else ("echo", "x")
            with reading(engine, made.id, argv) as running:
                assert running.read() == b"x\n"
        logs = made.logs().decode()
    assert "terminated" not in logs
    assert "recovery" not in logs


def check_of(data: bytes) -> None:
    check = content_check(Kind.POSTGRES, "postgres/app.dump", None, Engine.connect(), POSTGRES)
    assert check is not None
    for at in range(0, len(data), 100_000):
        check.write(data[at : at + 100_000])
    check.finish()


def test_the_content_check_finds_what_is_cut_or_broken(tmp_path: Path) -> None:
    """pg_restore reads all of it: what is cut or begins wrongly is an error, the whole dump is none."""
    files = MemoryFiles()
    with postgres("t-backup-pg") as made:
        big(made)
        save(saving(made, Kind.POSTGRES, tmp_path, files))
    dump = files.plain["postgres/app.dump"]
    check_of(dump)
    for bad in (dump[: len(dump) // 2], dump[:-10], b"", b"XGDMP" + dump[5:]):
        with pytest.raises(Failed):
            check_of(bad)
    script = files.plain["postgres/globals.sql"]
    for good, data in ((True, script), (False, script[: len(script) // 2]), (False, b"\x00\x01rubbish")):
        check = content_check(Kind.POSTGRES, "postgres/globals.sql", None, Engine.connect(), POSTGRES)
        assert check is not None
        check.write(data)
        if good:
            assert check.finish()["roles"] >= 1
        else:
            with pytest.raises(Failed):
                check.finish()

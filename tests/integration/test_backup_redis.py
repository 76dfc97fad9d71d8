"""Redis saved while it works: its own RDB, counted from the bytes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import redis

from blocks.engine import Engine
from blocks.exec_stream import feeding
from blocks.polling import poll
from compose.stack.backup.component import Kind
from compose.stack.errors import Failed
from tasks.backup.content import content_check
from tasks.backup.procedure import Saved, Saving
from tasks.backup.redis import RedisProcedure
from tests.fakes.backup_files import MemoryFiles
from tests.store_lab import PASSWORD, REDIS, container, saving

pytestmark = [pytest.mark.engine, pytest.mark.stack]

NAME = "t-backup-redis"
PROTECTED = ["redis-server", "--requirepass", PASSWORD, "--appendonly", "yes"]
KINDS = """
for i = 1, 3000 do redis.call('SET', 's' .. i, string.rep('x', i)) end
for i = 1, 600 do redis.call('RPUSH', 'list', string.rep('y', i)) redis.call('SADD', 'set', 'm' .. i)
  redis.call('SADD', 'ints', i) redis.call('HSET', 'hash', 'f' .. i, i) redis.call('ZADD', 'zset', i / 3, 'z' .. i)
  redis.call('XADD', 'stream', '*', 'k', i) end
redis.call('HSET', 'small', 'a', 1) redis.call('ZADD', 'smallz', 1, 'a') redis.call('RPUSH', 'smalll', 'a')
redis.call('XGROUP', 'CREATE', 'stream', 'g', '0')
redis.call('SET', 'number', 12345) redis.call('PFADD', 'hll', 'a', 'b')
"""


def save(given: Saving) -> Saved:
    procedure = RedisProcedure(given)
    try:
        procedure.open()
        return procedure.save()
    finally:
        procedure.close()


def cli(made: Any, *words: str) -> str:
    done = made.exec_run(["redis-cli", *words], environment={"REDISCLI_AUTH": PASSWORD})
    return str(done.output.decode().strip())


def ready(made: Any) -> None:
    assert poll(lambda: cli(made, "PING") == "PONG", 30), made.logs().decode()


@pytest.mark.parametrize("network", ["bridge", "none"])
def test_every_kind_of_value_is_counted_and_comes_back(network: str, tmp_path: Path) -> None:
    """With a password in its command and the AOF on, also without a network; loaded again, the counts agree."""
    files = MemoryFiles()
    with container(REDIS, NAME, PROTECTED, network_mode=network) as made:
        ready(made)
        assert cli(made, "EVAL", KINDS, "0") == ""
        cli(made, "XREADGROUP", "GROUP", "g", "c", "COUNT", "5", "STREAMS", "stream", ">")
        cli(made, "-n", "3", "SET", "t", "x", "EX", "1000")
        cli(made, "-n", "3", "SET", "p", "x")
        keys = int(cli(made, "DBSIZE"))
        saved = save(saving(made, Kind.REDIS, tmp_path, files, verify="content"))
    assert saved.fingerprint["databases"] == {
        "0": {"keys": keys, "expires": 0},
        "3": {"keys": 2, "expires": 1},
    }
    assert saved.fingerprint["keys"] == keys + 2
    assert saved.checked == "content"
    assert "append-only file: on" in saved.notes
    assert PASSWORD not in repr(saved)
    rdb = files.plain["redis/dump.rdb"]
    with container(REDIS, NAME, ["sleep", "600"], network_mode="none") as made:
        with feeding(Engine.connect(), made.id, ("sh", "-c", "cat > /tmp/dump.rdb")) as running:
            running.send(rdb)
            running.end_input()
            assert running.read() == b""
            running.done()
        made.exec_run(["redis-server", "--dir", "/tmp", "--requirepass", PASSWORD], detach=True)
        assert poll(lambda: cli(made, "PING") == "PONG", 30)
        assert int(cli(made, "DBSIZE")) == keys
        assert int(cli(made, "-n", "3", "DBSIZE")) == 2


def test_writers_go_on_and_what_they_were_told_before_is_there(tmp_path: Path) -> None:
    """Under writers at full load: all that was acknowledged before the save is in the file."""
    files = MemoryFiles()
    with container(REDIS, NAME, PROTECTED) as made:
        ready(made)
        client = redis.Redis(made.attrs["NetworkSettings"]["IPAddress"], password=PASSWORD)
        stop, told = threading.Event(), [0]

        def write() -> None:
            while not stop.is_set():
                client.set(f"k{told[0] + 1}", "x")
                told[0] += 1

        writer = threading.Thread(target=write)
        writer.start()
        procedure = RedisProcedure(saving(made, Kind.REDIS, tmp_path, files))
        try:
            assert poll(lambda: told[0] > 100, 30)
            before = told[0]
            procedure.open()
            after = told[0] + 1
            saved = procedure.save()
        finally:
            stop.set()
            writer.join()
            procedure.close()
            client.close()
    assert before <= saved.fingerprint["keys"] <= after


def test_the_moment_is_kept_although_the_server_saves_again(tmp_path: Path) -> None:
    """Its own save points replace the file before it is sent: what was opened is what is saved."""
    files = MemoryFiles()
    with container(REDIS, NAME, PROTECTED) as made:
        ready(made)
        cli(made, "SET", "before", "x")
        procedure = RedisProcedure(saving(made, Kind.REDIS, tmp_path, files))
        try:
            procedure.open()
            cli(made, "SET", "after", "x")
            assert cli(made, "SAVE") == "OK"
            saved = procedure.save()
        finally:
            procedure.close()
    assert saved.fingerprint["keys"] == 1
    assert b"after" not in files.plain["redis/dump.rdb"]
    assert not list(tmp_path.iterdir())


def test_a_save_that_runs_already_is_waited_for(tmp_path: Path) -> None:
    """A second save is made after the one that runs: what was written meanwhile is in it."""
    slow = ["redis-server", "--requirepass", PASSWORD, "--rdb-key-save-delay", "20000", "--save", ""]
    with container(REDIS, NAME, slow) as made:
        ready(made)
        cli(made, "EVAL", "for i = 1, 200 do redis.call('SET', 'k' .. i, 'x') end", "0")
        script = "redis-cli BGSAVE && redis-cli SET meanwhile x && redis-cli INFO persistence"
        said = made.exec_run(["sh", "-c", script], environment={"REDISCLI_AUTH": PASSWORD}).output.decode()
        assert "rdb_bgsave_in_progress:1" in said
        keys = int(cli(made, "DBSIZE"))
        saved = save(saving(made, Kind.REDIS, tmp_path))
    assert saved.fingerprint["keys"] == keys


def test_a_save_that_fails_is_no_backup(tmp_path: Path) -> None:
    """A directory that it cannot write to: Failed by name, not yesterday's file."""
    with container(REDIS, NAME, PROTECTED) as made:
        ready(made)
        cli(made, "SET", "a", "b")
        cli(made, "BGSAVE")
        assert poll(lambda: "rdb_bgsave_in_progress:0" in cli(made, "INFO", "persistence"), 30)
        made.exec_run(["sh", "-c", "rm -rf /data/* && chmod 0555 /data"], user="0")
        with pytest.raises(Failed, match="could not write its RDB"):
            save(saving(made, Kind.REDIS, tmp_path))


def test_a_wrong_password_and_a_forbidden_command_are_named(tmp_path: Path) -> None:
    """Nobody gets in, or CONFIG is not there: Failed with what to do; the password is in no message."""
    hidden = ["sh", "-c", f"exec redis-server --requirepass $(echo {PASSWORD})"]
    with container(REDIS, NAME, hidden, environment={"REDIS_PASSWORD": "another"}) as made:
        ready(made)
        with pytest.raises(Failed, match="nobody gets in"):
            save(saving(made, Kind.REDIS, tmp_path))
    renamed = ["redis-server", "--requirepass", PASSWORD, "--rename-command", "CONFIG", ""]
    with container(REDIS, NAME, renamed) as made:
        ready(made)
        with pytest.raises(Failed, match="does not tell where its data is") as raised:
            save(saving(made, Kind.REDIS, tmp_path))
    assert "x-ops.backup.kind" in raised.value.next
    assert PASSWORD not in str(raised.value)


def check_of(data: bytes) -> None:
    check = content_check(Kind.REDIS, "redis/dump.rdb", None, Engine.connect(), REDIS)
    assert check is not None
    check.write(data)
    check.finish()


def test_the_content_check_finds_every_flipped_bit(tmp_path: Path) -> None:
    """redis-check-rdb reads the file in a scratch container: cut and flipped files are errors."""
    files = MemoryFiles()
    with container(REDIS, NAME, PROTECTED) as made:
        ready(made)
        cli(made, "EVAL", KINDS, "0")
        save(saving(made, Kind.REDIS, tmp_path, files))
    rdb = files.plain["redis/dump.rdb"]
    flipped = bytearray(rdb)
    flipped[len(rdb) // 2] ^= 4
    for bad in (bytes(flipped), rdb[: len(rdb) // 2], b""):
        with pytest.raises(Failed):
            check_of(bad)
    assert not Engine.connect().client.containers.list(all=True, filters={"label": "org.sutazai.scratch"})

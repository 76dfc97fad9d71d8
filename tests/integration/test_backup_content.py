"""Content checks of what is saved as files: the stores' own tools, in scratch containers, find what is damaged."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blocks.engine import Engine
from blocks.polling import poll
from blocks.stores.scratch import LABEL, MEBIBYTE, Tool, run_fed, sweep
from compose.stack.backup.archive_format import Entry, index_line
from compose.stack.backup.component import Kind
from compose.stack.errors import Failed
from tasks.backup.content import content_check
from tests import images
from tests.lab import REPOSITORY
from tests.store_lab import container, need

pytestmark = pytest.mark.engine

NEO4J = "sutazai/neo4j:5.26.30"
FAISS = "sutazai/faiss:17.0.0"
MAKE_INDEX = """
import faiss, numpy, sys
index = faiss.IndexFlatL2(4); index.add(numpy.random.rand(10, 4).astype("float32"))
faiss.write_index(index, "/tmp/i"); sys.stdout.buffer.write(open("/tmp/i", "rb").read())
"""


@pytest.fixture(autouse=True)
def nothing_left(alone: None) -> Iterator[None]:
    yield
    engine = Engine.connect()
    assert not engine.client.containers.list(all=True, filters={"label": LABEL})
    assert not engine.client.volumes.list(filters={"label": LABEL})


def checked(kind: Kind, path: str, data: bytes, image: str = "", **how: Any) -> dict[str, Any]:
    """What the check finds; the bytes come in portions."""
    check = content_check(kind, path, None, Engine.connect(), image, **how)
    assert check is not None
    try:
        for at in range(0, len(data), 50_000):
            check.write(data[at : at + 50_000])
        return check.finish()
    except BaseException:
        check.abandon()
        raise


def archive(files: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return memory.getvalue()


def database(path: Path) -> bytes:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t(x text)")
        connection.executemany("INSERT INTO t VALUES (?)", [(f"{n}" * 50,) for n in range(2000)])
    connection.close()
    return path.read_bytes()


def damaged(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + b"\xff" * 4096 + data[middle + 4096 :]


@pytest.mark.parametrize(("kind", "name"), [(Kind.CHROMADB, "chroma.sqlite3"), (Kind.GRAFANA, "grafana.db")])
def test_sqlite_inside_an_archive(kind: Kind, name: str, tmp_path: Path) -> None:
    """Each database is unpacked and read by SQLite; a damaged one is named."""
    whole = database(tmp_path / "x")
    found = checked(kind, "c/data.tar", archive({name: whole, "other.bin": b"x" * 9000}), spool=tmp_path)
    assert found["sqlite"] == 1
    assert found["files"] == 2
    with pytest.raises(Failed, match=name):
        checked(kind, "c/data.tar", archive({name: damaged(whole)}), spool=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_prefects_database(tmp_path: Path) -> None:
    """SQLite reads it; cut or damaged it is an error."""
    whole = database(tmp_path / "x")
    assert checked(Kind.PREFECT, "prefect/prefect.db", whole)["tables"] == 1
    for bad in (damaged(whole), whole[: len(whole) // 2], b"no database at all, but long enough " * 100):
        with pytest.raises(Failed):
            checked(Kind.PREFECT, "prefect/prefect.db", bad)


def test_an_archive_is_compared_with_its_index(tmp_path: Path) -> None:
    """Another byte, a file more, a file less, a cut: each is an error; the same files are none."""
    files, index = {"a": b"1" * 100_000, "b/c": b""}, tmp_path / "index.jsonl"
    index.write_bytes(
        b"".join(index_line(Entry(name, "file"), hashlib.sha256(data).hexdigest()) for name, data in files.items())
    )
    whole = archive(files)
    assert checked(Kind.VOLUME, "v/data.tar", whole, index=index) == {"files": 2, "bytes": 100_000}
    for bad in (archive({**files, "a": b"2" * 100_000}), archive({**files, "d": b""}), archive({"a": files["a"]})):
        with pytest.raises(Failed, match="not as its index lists them"):
            checked(Kind.VOLUME, "v/data.tar", bad, index=index)
    for bad in (whole[:50_000], b"rubbish" * 1000):
        with pytest.raises(Failed):
            checked(Kind.VOLUME, "v/data.tar", bad)


def test_lists_and_documents() -> None:
    """JSON and lines of JSON are parsed."""
    assert checked(Kind.QDRANT, "q/aliases.json", b"[]") == {}
    assert checked(Kind.OLLAMA, "o/files.jsonl", b'{"a": 1}\n{"b": 2}\n') == {"lines": 2}
    for path, bad in (("q/aliases.json", b"["), ("o/files.jsonl", b'{"a": 1}\n{"b"'), ("o/files.jsonl", b"x\n")):
        with pytest.raises(Failed):
            checked(Kind.OLLAMA, path, bad)


@pytest.mark.stack
def test_faiss_reads_every_index() -> None:
    """The vectors of each index are counted by FAISS itself; a damaged index is an error."""
    made = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python3", need(FAISS), "-c", MAKE_INDEX],
        capture_output=True, check=True,
    )  # fmt: skip
    found = checked(Kind.FAISS, "f/data.tar", archive({"a.1.index": made.stdout, "a.json": b"{}"}), FAISS)
    assert found["ntotal"] == {"a.1.index": 10}
    with pytest.raises(Failed, match="FAISS cannot read"):
        checked(Kind.FAISS, "f/data.tar", archive({"a.1.index": made.stdout[:60]}), FAISS)


@pytest.mark.stack
def test_a_tool_without_memory_says_nothing_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is killed by its limit: not proven, and no error, for a backup is not worth less for it."""
    need(FAISS)
    monkeypatch.setattr("compose.stack.backup.tools.memory_for", lambda size, free: 12 * MEBIBYTE)
    found = checked(Kind.FAISS, "f/data.tar", archive({"a.json": b"{}", "large": b"x" * 3_000_000}), FAISS)
    assert "ran out of memory" in found["unproven"][0] or "was killed" in found["unproven"][0]
    assert found["files"] == 2


@pytest.mark.stack
def test_neo4j_checks_its_dump() -> None:
    """A real dump is read by neo4j-admin beside no database; cut or flipped it is an error."""
    with container(NEO4J, "t-backup-neo4j-made", environment={"NEO4J_AUTH": "neo4j/canary-neo4j-1"}) as made:
        assert poll(lambda: b"Started." in made.logs(), 400, 1.0), made.logs().decode()[-2000:]
        made.stop(timeout=60)
        dumped = subprocess.run(
            ["docker", "run", "--rm", "--network", "none", "--volumes-from", "t-backup-neo4j-made", "--entrypoint",
             "neo4j-admin", NEO4J, "database", "dump", "neo4j", "--to-stdout"],
            capture_output=True, check=True,
        )  # fmt: skip
    dump = dumped.stdout
    assert len(dump) > 1000
    checked(Kind.NEO4J, "neo4j/neo4j.dump", dump, NEO4J)
    with pytest.raises(Failed, match="does not understand"):
        checked(Kind.NEO4J, "neo4j/neo4j.dump", dump[: len(dump) // 2], NEO4J)


LEAVES = """
import os
from blocks.engine import Engine
from blocks.stores.scratch import Tool, run_fed

def chunks():
    yield b"x"
    os.kill(os.getpid(), 9)

run_fed(Engine.connect(), "{image}", Tool(("sh", "-c", "cat; sleep 600"), disk=True), chunks())
"""


def test_what_a_dead_run_left_is_swept_and_what_lives_is_not() -> None:
    """SIGKILL in a check: its container and volume are found by their label and removed; those of a process that
    lives stay."""
    image = images.busybox()
    script = LEAVES.format(image=image)
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, check=False)
    engine = Engine.connect()
    assert len(engine.client.containers.list(all=True, filters={"label": LABEL})) == 1
    seen: list[list[str]] = []

    def chunks() -> Iterator[bytes]:
        seen.append(sweep(engine))
        seen.append(sweep(engine))
        yield b"hello"

    code, said = run_fed(engine, image, Tool(("cat",), disk=True), chunks())
    assert (code, said) == (0, "hello")
    assert len(seen[0]) == 2
    assert seen[1] == []


def test_a_scratch_container_is_shut_in() -> None:
    """No network, no way to write to its root, no capabilities, a limit of memory."""
    script = "ip addr; touch /x || echo readonly; grep CapEff /proc/self/status; echo $((1+1))"
    code, said = run_fed(Engine.connect(), images.busybox(), Tool(("sh", "-c", script)), [])
    assert code == 0
    assert "eth0" not in said
    assert "readonly" in said
    assert "CapEff:\t0000000000000000" in said

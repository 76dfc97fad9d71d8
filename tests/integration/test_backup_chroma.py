"""Chroma under writers' load: stopped, copied, ready again; the copy answers queries as the fingerprint says."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import threading
import time
import urllib.error
import urllib.request

import pytest

from blocks.backup.stop_journal import StopJournal
from blocks.polling import poll
from compose.stack.errors import Failed, Refused
from tasks.backup.procedures import procedure_for
from tasks.backup.stopping import Stopper
from tests import images
from tests.saving_lab import address, component, laboratory, network, opened, restored, saving

pytestmark = [pytest.mark.engine, pytest.mark.stack]
IMAGE = "sutazai/chromadb:1.5.9"
PROJECT = f"""
services:
  chroma:
    image: {IMAGE}
    user: "10001:10001"
    command: [run, --path, /var/tmp, --host, 0.0.0.0, --port, "8000"]
    environment: {{HOME: /tmp}}
    volumes: ["data:/var/tmp"]
    tmpfs: ["/tmp:size=64m,mode=1777"]
    x-ops: {{role: chromadb, probe: {{http: {{port: 8000, path: /api/v2/heartbeat, status: 200}}}}}}
volumes: {{data: {{}}}}
"""
BASE = "/api/v2/tenants/default_tenant/databases/default_database/collections"


def call(address, path, body=None):
    """One request of Chroma's API."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"http://{address}:8000{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def vector(number):
    return [float((number * 7 + place * place) % 97) for place in range(8)]


class Writer(threading.Thread):
    """Adds rows until it is told to stop; remembers what was acknowledged, and when."""

    def __init__(self, where, collection):
        super().__init__(daemon=True)
        self.where, self.collection, self.done = where, collection, threading.Event()
        self.acknowledged, self.sent = {}, {}

    def run(self):
        number = 0
        while not self.done.is_set():
            number += 1
            body = {"ids": [f"w{number}"], "embeddings": [vector(number)]}
            self.sent[f"w{number}"] = time.time()
            with contextlib.suppress(OSError, urllib.error.URLError):
                call(self.where, f"{BASE}/{self.collection}/add", body)
                self.acknowledged[f"w{number}"] = time.time()


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    if not images.present(IMAGE):
        pytest.skip(f"{IMAGE} is not here: ./ops up --until images builds it")
    with laboratory(tmp_path_factory.mktemp("chroma")) as lab:
        project = lab.scratch("t-chroma", PROJECT + network(42))
        assert lab.deploy(project).exit_code == 0
        yield lab, project, opened(lab, project)


def test_a_copy_under_load_answers_as_the_store_did(scene, tmp_path):
    """All that was acknowledged before the stop is there, nothing that was sent after it; queries find it."""
    _, project, work = scene
    where = address(f"{project.name}-chroma-1")
    made = call(where, BASE, {"name": "papers"})["id"]
    rows = list(range(1000))
    ids, vectors = [f"p{n}" for n in rows], [vector(n) for n in rows]
    call(where, f"{BASE}/{made}/add", {"ids": ids, "embeddings": vectors})
    busy = call(where, BASE, {"name": "busy"})["id"]
    writer = Writer(where, busy)
    writer.start()
    assert poll(lambda: len(writer.acknowledged) > 50, 60)
    given = saving(work, component(work, "chroma"), tmp_path / "spool", Stopper(work))
    procedure = procedure_for(given)
    try:
        before = time.time()
        procedure.open()
        after = time.time()
        saved = procedure.save()
    finally:
        procedure.close()
        writer.done.set()
    writer.join(30)
    print("downtime", saved.downtime, "acknowledged", len(writer.acknowledged))
    assert saved.moment is not None
    stopped = saved.moment.timestamp()
    assert before < stopped < after
    assert StopJournal(work.home).empty
    assert saved.fingerprint["collections"]["papers"] == {"count": 1000, "dimension": 8}
    serve = ("run", "--path", "/var/tmp", "--host", "0.0.0.0", "--port", "8000")
    user = ("--user", "10001:10001", "-e", "HOME=/tmp")
    with restored(IMAGE, "/var/tmp", given.files.plain["chroma/data.tar"], user, serve) as scratch:
        assert poll(lambda: alive(scratch), 60)
        names = {one["name"]: one["id"] for one in call(scratch, BASE)}
        query = {"query_embeddings": [vector(3), vector(77)], "n_results": 5}
        assert (
            call(scratch, f"{BASE}/{names['papers']}/query", query)["distances"]
            == call(where, f"{BASE}/{made}/query", query)["distances"]
        )
        there = set(call(scratch, f"{BASE}/{names['busy']}/get", {"limit": 100_000})["ids"])
        assert len(there) == saved.fingerprint["collections"]["busy"]["count"]
    missing = {name for name, at in writer.acknowledged.items() if at < before} - there
    assert not missing
    assert not {name for name, at in writer.sent.items() if at > stopped} & there


def alive(where):
    with contextlib.suppress(OSError):
        return bool(call(where, "/api/v2/heartbeat"))
    return False


def test_the_index_names_every_file_of_the_archive(scene, tmp_path):
    """With SHA-256, owner and mode; the spool is empty afterwards."""
    _, _, work = scene
    given = saving(work, component(work, "chroma"), tmp_path / "spool", Stopper(work))
    procedure = procedure_for(given)
    procedure.open()
    procedure.save()
    procedure.close()
    procedure.close()
    lines = [json.loads(line) for line in given.files.plain["chroma/data.index.jsonl"].splitlines()]
    with tarfile.open(fileobj=io.BytesIO(given.files.plain["chroma/data.tar"])) as read:
        assert [one.name for one in read] == [line["path"] for line in lines]
        assert next(one for one in read if one.name == "chroma.sqlite3").uid == 10001
    assert not list((tmp_path / "spool").iterdir())


def test_a_database_that_is_damaged_fails_the_backup(scene, tmp_path):
    """SQLite's own check looks at the copy: Failed by name, the store runs."""
    _, project, work = scene
    given = saving(work, component(work, "chroma"), tmp_path / "spool", Stopper(work))
    procedure = procedure_for(given)
    procedure.open()
    copy = next((tmp_path / "spool").rglob("chroma.sqlite3"))
    with copy.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 4096 * 4)
    try:
        with pytest.raises(Failed, match="SQLite"):
            procedure.save()
    finally:
        procedure.close()
    assert alive(address(f"{project.name}-chroma-1"))


def test_no_room_in_the_spool_is_refused_before_anything_stops(scene, tmp_path, monkeypatch):
    """Refused with both numbers; nothing was stopped."""
    _, _, work = scene
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())

    class Never:
        def stopped(self, services, why):
            raise AssertionError("stopped")

    given = saving(work, component(work, "chroma"), tmp_path / "spool", Never())
    with pytest.raises(Refused, match=r"has 1\.0 kB free"):
        procedure_for(given).open()

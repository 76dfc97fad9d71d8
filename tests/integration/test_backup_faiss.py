"""The FAISS service: its indexes are copied while it stands still, and another one answers from the copy."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from dataclasses import replace

import pytest

from blocks.polling import poll
from blocks.stores.scratch import MEBIBYTE
from tasks.backup.stopping import Stopper
from tests import images
from tests.saving_lab import address, component, laboratory, network, opened, restored, saved, saving

pytestmark = [pytest.mark.engine, pytest.mark.stack]
IMAGE = "sutazai/faiss:17.0.0"
TOKEN = "a-token-of-the-tests-that-is-long-enough"
PROJECT = f"""
services:
  faiss:
    image: {IMAGE}
    environment: {{API_TOKEN: {TOKEN}}}
    volumes: ["data:/data"]
    x-ops: {{role: faiss, probe: {{http: {{port: 8000, path: /health, status: 200}}}}}}
volumes: {{data: {{}}}}
"""
VECTORS = [[float((n * 31 + p * p) % 101) for p in range(16)] for n in range(300)]


def call(where, path, body=None):
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    with urllib.request.urlopen(
        urllib.request.Request(f"http://{where}:8000{path}", data, headers), timeout=20
    ) as a:
        return json.loads(a.read())


def alive(where):
    with contextlib.suppress(OSError):
        return bool(call(where, "/health"))
    return False


def test_another_server_answers_from_the_copy(tmp_path, monkeypatch):
    """Vectors are counted from the records; the nearest neighbours are the same.

    Where its tool has no memory to read it, it is saved all the same, and its level is not reached.
    """
    if not images.present(IMAGE):
        pytest.skip(f"{IMAGE} is not here: ./ops deploy --stack stores builds it")
    asked = {"index": "things", "vectors": VECTORS[:3], "k": 5}
    with laboratory(tmp_path) as lab:
        project = lab.scratch("t-faiss", PROJECT + network(41))
        assert lab.deploy(project).exit_code == 0
        work, where = opened(lab, project), address(f"{project.name}-faiss-1")
        call(where, "/create_index", {"index": "things", "dimension": 16, "metric": "l2"})
        call(where, "/add_vectors", {"index": "things", "vectors": VECTORS})
        given = saving(work, component(work, "faiss"), tmp_path / "spool", Stopper(work))
        told = saved(given)
        print("downtime", told.downtime)
        assert told.fingerprint["indexes"]["things"]["ntotal"] == 300
        token = ("-e", f"API_TOKEN={TOKEN}")
        with restored(IMAGE, "/data", given.files.plain["faiss/data.tar"], token) as scratch:
            assert poll(lambda: alive(scratch), 60)
            assert call(scratch, "/search", asked) == call(address(f"{project.name}-faiss-1"), "/search", asked)
        given = replace(
            saving(work, component(work, "faiss"), tmp_path / "spool", Stopper(work)), verify="content"
        )
        monkeypatch.setattr("compose.stack.backup.tools.memory_for", lambda size, free: 12 * MEBIBYTE)
        told = saved(given)
        assert told.checked == "none"
        assert any("not read by its own tool" in note for note in told.notes)
        assert told.fingerprint["indexes"]["things"]["ntotal"] == 300
        assert "unproven" not in told.fingerprint

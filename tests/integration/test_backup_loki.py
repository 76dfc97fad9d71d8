"""Loki: its files are copied while it stands still, and another server tells the same lines from the copy.

Its image takes eleven minutes to build (`./ops deploy --stack stores --profile loki`); without it this is skipped.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.parse
import urllib.request

import pytest

from blocks.polling import poll
from tasks.backup.stopping import Stopper
from tests import images
from tests.lab import REPOSITORY
from tests.saving_lab import address, component, laboratory, network, opened, restored, saved, saving

pytestmark = [pytest.mark.engine, pytest.mark.stack]
IMAGE = "sutazai/loki:3.7.8"
CONFIG = REPOSITORY / "compose/config/loki/loki.yml"
COMMAND = ("-config.file=/etc/loki/loki.yml", "-config.expand-env=true")
PROJECT = f"""
services:
  logs:
    image: {IMAGE}
    command: [{", ".join(COMMAND)}]
    environment: {{LOKI_RETENTION: 168h}}
    volumes: ["data:/loki", "{CONFIG}:/etc/loki/loki.yml:ro"]
    tmpfs: ["/tmp:mode=1777"]
    stop_grace_period: 60s
    x-ops: {{role: loki, probe: {{http: {{port: 3100, path: /ready, status: 200}}}}, ready_within: 120}}
volumes: {{data: {{}}}}
"""
LINES = [f"line {number}" for number in range(200)]


def call(where, path, body=None):
    """One request of Loki's API; None while it does not answer."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"http://{where}:3100{path}", data, {"Content-Type": "application/json"})
    with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()
    return None


def lines(where):
    """Every line of the stream, in order."""
    query = urllib.parse.urlencode({"query": '{job="test"}', "limit": 1000, "direction": "forward", "since": "1h"})
    said = call(where, f"/loki/api/v1/query_range?{query}")
    streams = json.loads(said)["data"]["result"] if said else []
    return [line for stream in streams for _, line in stream["values"]]


def test_another_server_tells_the_same_lines(tmp_path):
    """What was acknowledged is in the copy, whether it was in a chunk or in the log of writes; it goes on here."""
    if not images.present(IMAGE):
        pytest.skip(f"{IMAGE} is not here: ./ops deploy --stack stores --profile loki builds it")
    with laboratory(tmp_path) as lab:
        project = lab.scratch("t-loki", PROJECT + network(45))
        assert lab.deploy(project).exit_code == 0
        name = f"{project.name}-logs-1"
        now = time.time_ns()
        values = [[str(now + number), line] for number, line in enumerate(LINES)]
        push = {"streams": [{"stream": {"job": "test"}, "values": values}]}
        assert poll(lambda: call(address(name), "/loki/api/v1/push", push) is not None, 60)
        assert poll(lambda: lines(address(name)) == LINES, 30)
        work = opened(lab, project)
        given = saving(work, component(work, "logs"), tmp_path / "spool", Stopper(work))
        told = saved(given)
        print("downtime", told.downtime)
        assert told.downtime is not None
        assert told.fingerprint["files"] > 0
        assert poll(lambda: lines(address(name)) == LINES, 60)
        config = ("-e", "LOKI_RETENTION=168h", "-v", f"{CONFIG}:/etc/loki/loki.yml:ro")
        with restored(IMAGE, "/loki", given.files.plain["logs/data.tar"], config, COMMAND) as scratch:
            assert poll(lambda: lines(scratch) == LINES, 60), lines(scratch)

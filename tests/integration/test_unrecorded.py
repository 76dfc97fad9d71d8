"""Prefect is how it is seen, not what it stands on: deployments without it, and with it dying."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from blocks.polling import poll
from tests import engine_state
from tests.lab import Lab, project_words
from tests.prefect_lab import PrefectLab, until

pytestmark = pytest.mark.engine

SLOW = """
services:
  slow:
    image: ops-test/busybox:1
    init: true
    command: [sh, -c, "while ! test -e /gate/open; do sleep 0.1; done; exec httpd -f -p 8080 -h /"]
    volumes: ["./gate:/gate"]
    healthcheck: {test: [CMD, wget, -q, -O-, "http://127.0.0.1:8080/etc/passwd"], interval: 30s}
  after:
    image: ops-test/busybox:1
    init: true
    command: [httpd, -f, -p, "8080", -h, /]
    healthcheck: {test: [CMD, wget, -q, -O-, "http://127.0.0.1:8080/etc/passwd"], interval: 30s}
    depends_on: {slow: {condition: service_healthy}}
"""


def test_a_server_that_is_down_does_not_stop_a_deployment(lab: Lab) -> None:
    """It deploys, says that the run is not recorded, and exits 0."""
    project = lab.scratch("unrecorded", SLOW)
    _gate(lab, "unrecorded").touch()
    done = lab.ops("deploy", *project_words(project))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not recorded" in done.stderr
    assert engine_state.identities(project.name)


def test_a_server_that_dies_in_the_middle_does_not_stop_a_deployment(lab: Lab, prefect_lab: PrefectLab) -> None:
    """Killed while a service is waited for: the rest is deployed all the same, and that is said."""
    project = lab.scratch("orphaned", SLOW)
    lab.environment.update({name: v for name, v in prefect_lab.environment.items() if name.startswith("OPS_")})
    lab.environment["OPS_HOME"] = str(prefect_lab.home.path)
    journal = prefect_lab.home.stack(project.name) / "journal.jsonl"
    running = lab.begin("deploy", *project_words(project))
    until(
        lambda: journal.exists() and '"start:slow", "event": "end"' in journal.read_text(), 90, "slow not started"
    )
    server = prefect_lab.service.detached.running("server")
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    try:
        assert poll(lambda: not prefect_lab.api.accepts_us(), 30)
        _gate(lab, "orphaned").touch()
        said, _ = running.communicate(timeout=240)
        assert running.returncode == 0, said
        assert "not recorded" in said
        assert "all proven" in said
    finally:
        prefect_lab.service.begin_server()
        prefect_lab.service.wait_server(240)


def _gate(lab: Lab, project: str) -> Path:
    gate = lab.place / project / "gate"
    gate.mkdir(exist_ok=True)
    return gate / "open"

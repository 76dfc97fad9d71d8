"""Canary secrets appear nowhere: not in output, state, Prefect's database, logs, or any command line."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests import images
from tests.engine_state import docker
from tests.prefect_lab import PrefectLab

pytestmark = pytest.mark.engine

CANARIES = {
    "DB_PASSWORD": "canary-env-$file-7f3a",
    "written": "canary-written-91bc",
    "file": "canary-secret-file-55de",
    "url": "canary-in-url-20aa",
    "config": "canary-inline-config-c3c3",
    "check": "canary-in-health-check-6b1e",
}
PROJECT = f"""
services:
  talks:
    image: {images.BUSYBOX}
    command: [sh, -c, "env; echo I know $$DB_PASSWORD and $$API_TOKEN and $$(cat /run/secrets/key); exit 3"]
    environment:
      DB_PASSWORD: ${{DB_PASSWORD:?}}
      API_TOKEN: {CANARIES["written"]}
      DATABASE_URL: postgres://app:{CANARIES["url"]}@db/app
    secrets: [key]
  waits:
    image: {images.BUSYBOX}
    depends_on: {{talks: {{condition: service_completed_successfully}}}}
    healthcheck: {{test: [CMD-SHELL, "redis-cli -a ${{CACHE_PASSWORD}} ping"]}}
  asks:
    image: {images.BUSYBOX}
    depends_on: {{talks: {{condition: service_completed_successfully}}}}
    x-ops: {{probe: {{exec: [redis-cli, -a, "${{CACHE_PASSWORD}}", ping]}}}}
  works:
    image: {images.BUSYBOX}
    init: true
    command: [sleep, "600"]
    environment: {{DB_PASSWORD: "${{DB_PASSWORD}}", API_TOKEN: {CANARIES["written"]}}}
    healthcheck: {{test: [CMD, "true"], interval: 30s}}
    configs: [{{source: inline, target: /etc/inline}}]
configs: {{inline: {{content: "{CANARIES["config"]}"}}}}
secrets: {{key: {{file: ./key.txt}}}}
networks: {{default: {{ipam: {{config: [{{subnet: 10.213.211.0/24}}]}}}}}}
"""


@pytest.fixture
def project(prefect_lab: PrefectLab, tmp_path: Path) -> Path:
    images.busybox()
    (tmp_path / "compose.yml").write_text(PROJECT)
    (tmp_path / "key.txt").write_text(CANARIES["file"] + "\n")
    lines = f"DB_PASSWORD='{CANARIES['DB_PASSWORD']}'\nCACHE_PASSWORD={CANARIES['check']}\n"
    (tmp_path / "secrets.env").write_text(lines)
    return tmp_path


class CommandLines:
    """Looks at every process's arguments while something runs."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._stop = threading.Event()

    def __enter__(self) -> CommandLines:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    line = path.read_bytes().decode(errors="replace")
                except OSError:
                    continue
                self.found |= {name for name, canary in CANARIES.items() if canary in line}


def test_canaries_stay_hidden(prefect_lab: PrefectLab, project: Path) -> None:
    """A service that prints all its secrets and fails: its last words are quoted, the secrets are not."""
    name = f"t-canary-{os.getpid()}"
    words = ("--file", f"{project}/compose.yml", "--env-file", f"{project}/secrets.env", "-p", name)
    said = ""
    try:
        with CommandLines() as lines:
            taken = ("--accept", "healthcheck-program-missing")
            for verb, *more in (
                ("plan",), ("deploy", *taken), ("deploy", *taken, "--json"), ("verify",), ("verify", "--json"),
                ("plan",), ("plan", "--json"), ("status", "--json"),
            ):  # fmt: skip
                done = prefect_lab.ops(verb, *words, *more)
                said += done.stdout + done.stderr
            for mode, end in (("plan", "COMPLETED"), ("apply", "FAILED")):
                run = prefect_lab.begin(
                    "deploy/any", stack="", mode=mode, accept=["healthcheck-program-missing"], files=[words[1]],
                    env_files=[words[3]], project_name=name,
                )  # fmt: skip
                assert prefect_lab.ended(run) == end
    finally:
        docker("compose", "-p", name, "-f", words[1], "--env-file", words[3], "down", "-v", "-t", "0")
    assert "exited with code 3" in said
    assert "I know" in said
    assert "equivalent of the health check `redis-cli -a" in said
    assert not [canary for canary in CANARIES.values() if canary in said]
    assert not lines.found
    prefect_lab.service.stop()
    try:
        assert not list(_files_with_canaries(prefect_lab.home.path))
    finally:
        prefect_lab.service.begin_server()
        prefect_lab.service.wait_server(240)
        prefect_lab.service.begin_worker()
        prefect_lab.service.wait_worker(240)


def _files_with_canaries(place: Path) -> list[str]:
    found = []
    for path in place.rglob("*"):
        if path.is_file() and path.name not in {".env", "rollback.env"}:
            content = path.read_bytes()
            found += [f"{path}: {name}" for name, canary in CANARIES.items() if canary.encode() in content]
    return found


def test_state_is_readable_by_its_owner_only(prefect_lab: PrefectLab) -> None:
    """The directory and the secrets in it are nobody else's."""
    home = prefect_lab.home
    assert home.path.stat().st_mode & 0o077 == 0
    for path in (home.auth_file, home.env_file, home.release_key):
        assert not path.exists() or path.stat().st_mode & 0o777 == 0o600


def test_prefect_asks_for_its_password(prefect_lab: PrefectLab) -> None:
    """Without it the API gives nothing away."""
    code = "import sys,urllib.request as u; u.urlopen(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, f"{prefect_lab.url}/api/block_types/filter"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "401" in done.stderr

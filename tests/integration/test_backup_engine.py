"""The engine is restarted in the middle of a backup: no false success, and what stood still runs again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from blocks.home import Home
from compose.stack.backup.report import BackupReport
from compose.stack.backup.request import BackupRequest, VerifyBackupRequest
from compose.stack.errors import Exit, OpsError
from flows.backup_stack import backup_stack
from flows.walker import ThreadRunner
from tasks.backup import proving
from tasks.steps import Plainly
from tasks.work import Work
from tests import images
from tests.engine_state import containers, docker
from tests.lab import Lab
from tests.own_engine import OwnEngine, own_engine
from tests.prefect_lab import until
from tests.projects import ComposeProject
from tests.store_lab import need

pytestmark = pytest.mark.engine

POSTGRES = "sutazai/postgres:16.14"
SHOP = f"""
services:
  db:
    image: {POSTGRES}
    restart: unless-stopped
    environment: {{POSTGRES_USER: shop, POSTGRES_PASSWORD: secret-of-the-test, POSTGRES_DB: shop}}
    volumes: [pg:/var/lib/postgresql/data]
    healthcheck: {{test: [CMD, pg_isready, -h, 127.0.0.1], interval: 9s, start_period: 30s, start_interval: 1s}}
  legacy:
    image: {images.BUSYBOX}
    restart: unless-stopped
    command:
      - sh
      - -c
      - "trap 'exit 0' TERM; [ -e /data/file ] || head -c 300000000 /dev/urandom > /data/file;
        while :; do sleep 0.1; done"
    volumes: [old:/data]
volumes: {{pg: {{}}, old: {{}}}}
networks: {{default: {{ipam: {{config: [{{subnet: 10.214.66.0/24}}]}}}}}}
"""


@dataclass
class Shop:
    """The project on an engine of its own."""

    engine: OwnEngine
    project: ComposeProject
    home: Home
    target: Path

    def request(self, kind: type[Any] = BackupRequest, **more: Any) -> Any:
        """A request about it."""
        to = [f"one={self.target}"]
        return kind(files=[self.project.path("compose.yml")], project_name=self.project.name, to=to, **more)

    def back_up(self) -> BackupReport | OpsError:
        """Back it up in this process; an error is an answer too."""
        try:
            return backup_stack(self.request(only=["db", "volume-old"]), home=self.home, runner=ThreadRunner())
        except OpsError as error:
            return error

    def states(self) -> dict[str, str]:
        """Each container's state, by service; empty while the engine does not answer."""
        try:
            found = containers(self.project.name)
        except AssertionError:
            return {}
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one["State"]["Status"] for one in found}

    def running(self) -> bool:
        """Whether everything runs."""
        return self.states() == {"db": "running", "legacy": "running"}

    def answers(self) -> bool:
        """Whether its database answers a query."""
        words = ("exec", f"{self.project.name}-db-1", "psql", "-U", "shop", "-c", "SELECT 1")
        return self.engine.docker(*words, check=False).returncode == 0

    def dumping(self) -> bool:
        """Whether a dump is under way."""
        asked = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ops-backup'"
        words = ("exec", f"{self.project.name}-db-1", "psql", "-U", "shop", "-Atc", asked)
        return self.engine.docker(*words, check=False).stdout.strip() not in (b"", b"0")

    def stands_still(self) -> bool:
        """Whether the store that nobody knows is stopped for its copy."""
        return self.states().get("legacy") == "exited"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, test_images: None) -> Iterator[Shop]:
    """Deployed on an engine of its own, which every command of ours finds by DOCKER_HOST."""
    need(POSTGRES)
    with own_engine() as engine, pytest.MonkeyPatch.context() as patch:
        images.busybox()
        engine.load(POSTGRES, images.BUSYBOX)
        patch.setenv("DOCKER_HOST", engine.host)
        lab = Lab(tmp_path_factory.mktemp("engine"))
        target = lab.place / "target"
        target.mkdir(mode=0o700)
        try:
            project = lab.scratch("engine-restarts", SHOP)
            assert lab.deploy(project).exit_code == Exit.DONE
            shop = Shop(engine, project, Home(lab.ops_home), target)
            until(shop.answers, 120, "PostgreSQL answers")
            rows = "CREATE TABLE orders AS SELECT i, md5(i::text) || repeat(md5(i::text), 9) AS what"
            docker(
                "exec", f"{project.name}-db-1", "psql", "-U", "shop", "-c",
                f"{rows} FROM generate_series(1, 300000) i",
            )  # fmt: skip
            until(lambda: b"300000000" in engine.docker(
                "exec", f"{project.name}-legacy-1", "stat", "-c", "%s", "/data/file", check=False
            ).stdout, 60, "the store has its data")  # fmt: skip
            yield shop
        finally:
            for name in reversed(docker("ps", "-aq").split()):
                docker("rm", "-f", name)  # the engine goes with all that it stored


@pytest.mark.parametrize("moment", ["save:db begin", "open:volume-old begin"])
def test_the_engine_is_restarted(shop: Shop, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a dump streams, and while a store stands still for its copy."""
    reached: Callable[[], bool] = shop.dumping if moment.startswith("save") else shop.stands_still
    came, told = threading.Event(), Work.journal

    def journal(work: Work, what: str, state: str, **more: Any) -> None:
        told(work, what, state, **more)
        if f"{what} {state}" == moment:
            came.set()

    monkeypatch.setattr(Work, "journal", journal)
    whole = set(shop.target.glob("*/backups/*/manifest.json"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(shop.back_up)
        assert came.wait(60)
        until(reached, 30, f"{moment}: {shop.states()}")
        shop.engine.restart()
        ended = running.result(240)
    until(shop.running, 120, f"{shop.states()} after the engine was restarted")
    until(shop.answers, 120, "PostgreSQL has recovered")
    new = set(shop.target.glob("*/backups/*/manifest.json")) - whole
    if isinstance(ended, OpsError) or ended.exit_code != Exit.DONE:
        said = str(ended) if isinstance(ended, OpsError) else "; ".join(ended.errors)
        assert "Traceback" not in said
        assert said
    for manifest in new:
        proven = proving.verify_backup(
            shop.request(VerifyBackupRequest, id=manifest.parent.name, level="content"), shop.home, Plainly()
        )
        assert proven.errors == []
    again = shop.back_up()
    assert not isinstance(again, OpsError), again
    assert (again.exit_code, again.errors) == (Exit.DONE, [])
    assert not list(shop.target.rglob("*.partial*"))
    assert list((shop.home.path / "spool").iterdir()) == []
    assert shop.running()
    everything = shop.engine.docker("ps", "-a", "--format", "{{.Names}} {{.Status}}").stdout.decode().split("\n")
    assert len([line for line in everything if line]) == 2, f"no tool of ours is left: {everything}"

"""A Prefect server and worker of the tests' own: another home, another port, nothing left behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest

from blocks.home import Home
from blocks.polling import poll
from blocks.prefect_api import PrefectApi
from tasks.prefect_server import PrefectService, prefect_environment
from tests import images
from tests.addresses import free_port, subnet_of

CLONE = Path(__file__).resolve().parents[1]
ENDED = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
Answer = TypeVar("Answer")

SHOP = f"""
x-service: &service
  image: {images.BUSYBOX}
  stop_grace_period: 0s
  healthcheck: {{test: [CMD, wget, -q, -O-, "http://127.0.0.1:8080/"], interval: 30s, start_interval: 1s}}
  command: [sh, -c, "mkdir /tmp/w; echo ok >/tmp/w/index.html; sleep $$DELAY && exec httpd -f -p 8080 -h /tmp/w"]
services:
  store: {{<<: *service, environment: {{DELAY: "${{DELAY:-1}}"}}}}
  queue: {{<<: *service, environment: {{DELAY: "0"}}}}
  api:
    <<: *service
    environment: {{DELAY: "1"}}
    depends_on: {{store: {{condition: service_healthy}}, queue: {{condition: service_healthy}}}}
  web:
    <<: *service
    environment: {{DELAY: "0"}}
    depends_on: {{api: {{condition: service_healthy}}}}
"""
"""Four services in three layers; DELAY seconds until the store answers."""

EDGES = {("store", "api"), ("queue", "api"), ("api", "web")}


@dataclass
class PrefectLab:
    """A home with its server and worker.

    Args:
        place: A directory of the tests.
    """

    place: Path
    _undo: list[Callable[[], object]] = field(default_factory=list)
    _kept: list[str] = field(default_factory=list)

    @property
    def home(self) -> Home:
        """The state directory."""
        return Home(self.place / "ops-home")

    @property
    def service(self) -> PrefectService:
        """The server and the worker."""
        return PrefectService(self.home, self.home.settings({}))

    @property
    def api(self) -> PrefectApi:
        """The server's API; it runs beside much else here."""
        return replace(self.service.api, limit=60)

    @property
    def url(self) -> str:
        """The UI's address."""
        return f"http://127.0.0.1:{self.api.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a command of this home is given, whatever the shell of the tests has."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("OPS_", "PREFECT_"))}
        return {**clean, **prefect_environment(self.home, self.home.settings({}))}

    def start(self) -> None:
        """Make the home; start server and worker; register."""
        self.home.make()
        self.home.add_to_env({"OPS_PREFECT_PORT": str(free_port()), "OPS_PROJECT": "t-nobody"})
        self.service.begin_server()
        self.service.wait_server(240)
        self.register()
        self.service.begin_worker()
        self.service.wait_worker(240)

    def register(self, clone: Path = CLONE, **more: str) -> bool:
        """Register as `./ops up` does; whether anything was done."""
        code = (
            "import sys; from pathlib import Path; from blocks.home import Home; "
            "from deployments.register import register; print(register(Home.find(), Path(sys.argv[1])))"
        )
        done = self.run(sys.executable, "-P", "-c", code, str(clone), **more)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1] == "True"

    def ops(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Our command line."""
        return self.run(sys.executable, "-P", "-m", "deployments.cli", *words)

    def prefect(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Prefect's command line, as CI uses it."""
        return self.run(sys.executable, "-P", "-m", "prefect", *words)

    def run(self, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command in this home's environment."""
        environment = {**self.environment, **more}
        return subprocess.run(
            argv, cwd=self.place, env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    def keep(self, name: str, text: str = SHOP) -> str:
        """Keep a compose project by name; it is removed with its containers at the end."""
        images.busybox()
        directory = self.place / name
        directory.mkdir(exist_ok=True)
        (directory / "compose.yml").write_text(text + self._network(name))
        project = f"t-{name}-{os.getpid()}"
        self._undo.append(lambda: _remove(directory, project))
        added = self.ops("stack", "add", name, "--file", str(directory / "compose.yml"), "-p", project)
        assert added.returncode == 0, added.stdout + added.stderr
        return project

    def _network(self, name: str) -> str:
        """A subnet of its own for each project."""
        if name not in self._kept:
            self._kept.append(name)
        first = subnet_of("prefect").removesuffix(".0/24")
        subnet = f"{first}.{16 * self._kept.index(name)}/28"
        return f"networks:\n  default:\n    ipam: {{config: [{{subnet: {subnet}}}]}}\n"

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment by `flow/name`."""
        found: dict[str, Any] = self.api.call("GET", f"/deployments/name/{name}")
        return found

    def begin(self, deployment: str, **parameters: Any) -> str:
        """Start a run as the UI's form does; its id."""
        path = f"/deployments/{self.deployment(deployment)['id']}/create_flow_run"
        return str(self.api.call("POST", path, {"parameters": parameters})["id"])

    def state(self, run: str) -> str:
        """The state's type of a flow run."""
        return str(self.api.call("GET", f"/flow_runs/{run}")["state_type"])

    def ended(self, run: str, limit: float = 240) -> str:
        """How a run ended; a server that is too busy to answer is asked again."""
        seen = ["not known"]

        def over() -> bool:
            with contextlib.suppress(TimeoutError):
                seen[0] = self.state(run)
            return seen[0] in ENDED

        until(over, limit, f"run {run} has not ended")
        return seen[0]

    def completes(self, run: str) -> None:
        """Wait for the end of a run that has to succeed; what it said when it does not."""
        assert self.ended(run) == "COMPLETED", self.story(run)

    def story(self, run: str) -> str:
        """A run's state and log."""
        body = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC", "limit": 200}
        lines = [line["message"] for line in self.api.call("POST", "/logs/filter", body)]
        return "\n".join([str(self.api.call("GET", f"/flow_runs/{run}")["state"]["message"]), *lines])

    def task_runs(self, run: str) -> list[dict[str, Any]]:
        """The task runs of a flow run."""
        body = {"flow_runs": {"id": {"any_": [run]}}, "limit": 200}
        found: list[dict[str, Any]] = self.api.call("POST", "/task_runs/filter", body)
        return found

    def close(self) -> None:
        """Stop everything and remove it."""
        for undo in (
            self.service.stop,
            *reversed(self._undo),
            lambda: shutil.rmtree(self.place, ignore_errors=True),
        ):
            undo()


def until(true: Callable[[], bool], limit: float, otherwise: str) -> None:
    """Wait for a condition."""
    assert poll(true, limit), f"not within {limit:.0f} s: {otherwise}"


def graph_edges(api: PrefectApi, run: str) -> set[tuple[str, str]]:
    """The edges that the UI draws, by the labels of the task runs."""
    nodes: Mapping[str, Any] = dict(api.call("GET", f"/flow_runs/{run}/graph-v2")["nodes"])
    return {
        (nodes[parent["id"]]["label"], node["label"])
        for node in nodes.values()
        for parent in node["parents"]
        if parent["id"] in nodes
    }


def service_edges(api: PrefectApi, run: str, services: Iterable[str]) -> set[tuple[str, str]]:
    """The edges between task runs of different services: a label ends with its service."""
    edges = {(before.split()[-1], after.split()[-1]) for before, after in graph_edges(api, run)}
    return {(a, b) for a, b in edges if a in services and b in services and a != b}


def _remove(directory: Path, project: str) -> None:
    """Its containers and network, and the images that its releases keep."""
    argv = ["docker", "compose", "-f", str(directory / "compose.yml"), "-p", project, "down", "-v", "-t", "0"]
    subprocess.run(argv, capture_output=True, check=False)
    listed = ["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", f"sutazai-ops-keep/{project}"]
    tags = subprocess.run(listed, capture_output=True, text=True, check=False).stdout.split()
    if tags:
        subprocess.run(["docker", "image", "rm", *tags], capture_output=True, check=False)


@pytest.fixture(scope="session")
def prefect_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectLab]:
    """One server and worker for all tests of a session; their schedules stand still."""
    lab = PrefectLab(tmp_path_factory.mktemp("prefect"))
    try:
        lab.start()
        for found in lab.api.call("POST", "/deployments/filter", {}):
            for schedule in found["schedules"]:
                lab.api.call("PATCH", f"/deployments/{found['id']}/schedules/{schedule['id']}", {"active": False})
        yield lab
    finally:
        lab.close()

"""Containers for tests of the first-party services: a network of their own, and a broom."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.addresses import free_subnet

COMPOSE = Path(__file__).resolve().parents[1] / "compose"
VERSION = "17.0.0"
DEMONSTRATION = "model-registry:5000/sutazai/demonstration:1"
IMAGES = {
    "redis": "sutazai/redis:7.0",
    "postgres": "sutazai/postgres:16.14",
    "chromadb": "sutazai/chromadb:1.5.9",
    "ollama": "sutazai/ollama:0.17.4",
    "model-registry": "sutazai/model-registry:1",
    "backend-agi": f"sutazai/backend-agi:{VERSION}",
    "frontend-agi": f"sutazai/frontend-agi:{VERSION}",
    "task-coordinator": f"sutazai/task-coordinator:{VERSION}",
    "model-init": f"sutazai/model-init:{VERSION}",
}
# Canaries: whoever finds one of these in an answer or a log has found a leak.
SECRETS = {
    "POSTGRES_PASSWORD": "canary-postgres-7c1e",
    "REDIS_PASSWORD": "canary-redis-51b0",
    "API_TOKEN": "canary-token-e02d",
    "SECRET_KEY": "canary-key-9a4f",
}
ENVIRONMENT = {
    **SECRETS,
    "POSTGRES_HOST": "postgres",
    "POSTGRES_USER": "sutazai",
    "POSTGRES_DB": "sutazai",
    "REDIS_HOST": "redis",
    "CHROMADB_URL": "http://chromadb:8000",
    "OLLAMA_URL": "http://ollama:11434",
    "BACKEND_URL": "http://backend-agi:8000",
    "COORDINATOR_URL": "http://task-coordinator:8522",
    "MODEL_PREFERENCE": f"tinyllama,{DEMONSTRATION}",
}
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
T = TypeVar("T")


def until(found: Callable[[], T], within: float = 60) -> T:
    """Return what a condition gives as soon as it is something; fails after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        with contextlib.suppress(httpx.TransportError):
            if value := found():
                return value
        assert time.monotonic() < deadline, f"not within {within} s: {found}"
        time.sleep(0.05)


class ServicesLab:
    """One network and the containers in it, by the names that the services know each other by."""

    def __init__(self, name: str) -> None:
        self.name = f"t-{name}-{os.getpid()}"
        self.containers: list[str] = []
        self.gateway = self._network()

    def _network(self) -> str:
        """Make our network; its gateway."""
        subnet = free_subnet()
        gateway = f"{subnet.removesuffix('.0/24')}.1"
        self.docker("network", "create", "--subnet", subnet, "--gateway", gateway, self.name)
        return gateway

    def docker(self, *words: str, check: bool = True) -> str:
        """Run docker; return its output without the last newline."""
        done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, f"docker {' '.join(words)}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def container(self, service: str) -> str:
        """Return the container's name."""
        return f"{self.name}-{service}"

    def start(
        self, service: str, *command: str, env: dict[str, str] | None = None, options: tuple[str, ...] = ()
    ) -> None:
        """Start a service in the background."""
        name = self.container(service)
        self.containers.append(name)
        variables = [word for key, value in (env or {}).items() for word in ("--env", f"{key}={value}")]
        head = ("run", "--detach", "--name", name, "--network", self.name, "--network-alias", service)
        self.docker(*head, *options, *variables, IMAGES[service], *command)

    def first_party(self, service: str, **more: str) -> None:
        """Start one of our services as the stack does: not root, nothing writable but /tmp."""
        self.start(service, env={**ENVIRONMENT, **more}, options=(*HARDENED, "--memory", "256m"))

    def redis(self) -> None:
        """Start Redis with its queue in the append-only file."""
        command = ("redis-server", "--requirepass", SECRETS["REDIS_PASSWORD"], "--appendonly", "yes", "--save", "")
        self.start("redis", *command)

    def url(self, service: str, port: int) -> str:
        """Return a service's address as seen from here."""
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return f"http://{self.docker('inspect', '--format', form, self.container(service))}:{port}"

    def signal(self, service: str, number: str, pid: int) -> None:
        """Send a signal to a process inside a container."""
        self.docker("exec", self.container(service), "bash", "-c", f"kill -{number} {pid}")

    def logs(self, service: str) -> str:
        """Return all that a container has said."""
        argv = ["docker", "logs", self.container(service)]
        return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout

    def init_model(self, **env: str) -> subprocess.CompletedProcess[str]:
        """Run the model initialiser to its end."""
        catalogue = f"{COMPOSE}/models.yaml:/etc/sutazai/models.yaml:ro"
        settings = {"OLLAMA_URL": ENVIRONMENT["OLLAMA_URL"], **env}
        variables = [word for key, value in settings.items() for word in ("--env", f"{key}={value}")]
        argv = ["docker", "run", "--rm", "--network", self.name, *HARDENED, "--volume", catalogue, *variables]
        return subprocess.run(
            [*argv, IMAGES["model-init"]], capture_output=True, text=True, check=False, timeout=180
        )

    def close(self) -> None:
        """Leave nothing behind."""
        if self.containers:
            self.docker("rm", "--force", "--volumes", *self.containers, check=False)
        self.docker("network", "rm", self.name, check=False)


class SlowAgent:
    """An agent that registers with the coordinator and answers when the test says so."""

    def __init__(self, address: str) -> None:
        self.calls: list[str] = []
        self.answers: queue.Queue[str] = queue.Queue()
        agent = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                agent.calls.append(body["id"])
                answer = json.dumps({"result": agent.answers.get()}).encode()
                with contextlib.suppress(OSError):  # the worker that asked may be dead
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *_words: Any) -> None:
                pass

        self.server = ThreadingHTTPServer((address, 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://{address}:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Let every request go and stop listening."""
        for _ in self.calls:
            self.answers.put("")
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def laboratory(name: str) -> Iterator[ServicesLab]:
    """A laboratory that is gone afterwards."""
    lab = ServicesLab(name)
    try:
        yield lab
    finally:
        lab.close()

"""The projects that are measured: tiny web servers that write down when they are ready."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.images import BUSYBOX

LAYERS, WIDTH = 5, 10
DOCUMENT = {"interval": "30s", "start_period": "60s", "timeout": "10s", "retries": 5}
"""The health check of the document: its first look comes 30 s after the start."""
STARTING = {**DOCUMENT, "start_interval": "1s"}
PORT = 8000
READY = "ready-at"
"""What a service prints, with the seconds since boot, once it serves."""
SERVE = (
    "mkdir -p /tmp/www; echo {text} >/tmp/www/index.html; sleep {delay}; "
    # it goes into the background when it listens, not before
    "httpd -p " + str(PORT) + " -h /tmp/www && read up rest </proc/uptime && echo " + READY + " $$up; "
    "exec tail -f /dev/null"
)


@dataclass(frozen=True)
class Project:
    """A generated project.

    Args:
        name: Compose project name.
        file: Its one file.
    """

    name: str
    file: Path

    def compose(self, *words: str) -> tuple[str, ...]:
        """A `docker compose` command on it."""
        return ("docker", "compose", "-p", self.name, "-f", str(self.file), *words)


def layered(check: dict[str, Any] | None, subnet: str) -> dict[str, Any]:
    """Layers of services; with a check, each waits until two of the layer below are healthy.

    Args:
        check: Health check without its command; None for services that wait for nothing.
        subnet: Of the project's network.
    """
    services = {
        f"s{layer}{column}": _service(layer, column, check) for layer in range(LAYERS) for column in range(WIDTH)
    }
    return {"services": services, "networks": {"default": {"ipam": {"config": [{"subnet": subnet}]}}}}


def _service(layer: int, column: int, check: dict[str, Any] | None) -> dict[str, Any]:
    delay = 0.2 + 0.3 * ((layer * WIDTH + column) * 7 % 10) / 9
    body = server(f"{delay:.2f}")
    if check:
        body["healthcheck"] = {**check, "test": ["CMD", "wget", "-q", "-O-", f"http://localhost:{PORT}/"]}
    if check and layer:
        needs = {f"s{layer - 1}{column}", f"s{layer - 1}{(column + 1) % WIDTH}"}
        body["depends_on"] = {name: {"condition": "service_healthy"} for name in sorted(needs)}
    return body


def server(delay: str, text: str = "served") -> dict[str, Any]:
    """A web server that begins to serve after a delay and says when.

    Args:
        delay: Seconds.
        text: What it serves.
    """
    return {
        "image": BUSYBOX,
        "command": ["sh", "-c", SERVE.format(delay=delay, text=text)],
        "init": True,
        "mem_limit": "32m",
        "expose": [str(PORT)],
    }


def written(place: Path, name: str, content: dict[str, Any]) -> Project:
    """A project in a file of its own."""
    file = place / f"{name}.yml"
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return Project(name, file)

"""What is seen of Docker on this machine, engine or not."""

from __future__ import annotations

import os
import shutil

from blocks.machine import ask, is_root
from compose.stack.machine import COMPOSE_VERSION, DOCKER_VERSION, EngineFacts

_LOCAL = ("unix:///var/run/docker.sock", "unix:///run/docker.sock")
_ENDPOINT = ("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")


def look() -> EngineFacts:
    """Ask the client, where there is one; about 0.1 s."""
    client = shutil.which("docker") is not None
    daemon = shutil.which("dockerd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None
    if not client:
        return EngineFacts(client=False, daemon=daemon, root=is_root())
    code, engine, why = ask(DOCKER_VERSION)
    compose_code, compose, _ = ask(COMPOSE_VERSION)
    return EngineFacts(
        client=True,
        daemon=daemon,
        engine=engine if code == 0 else "",
        compose=compose if compose_code == 0 else "",
        remote="" if code == 0 else _elsewhere(),
        root=is_root(),
        why=why if code else "",
    )


def _elsewhere() -> str:
    """The endpoint that the client is told to use, when it is not this machine's own engine."""
    endpoint = os.environ.get("DOCKER_HOST") or ask(_ENDPOINT)[1]
    return "" if endpoint in ("", *_LOCAL) else endpoint

"""Asking services whether they are ready, over the network of their containers."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from functools import cache

import httpx

from compose.stack.observed import Container
from compose.stack.probes import (
    Answer,
    ExecProbe,
    ExitProbe,
    HttpProbe,
    PostgresProbe,
    Probe,
    RedisProbe,
    RunningProbe,
    TcpProbe,
)

logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each probe would drown everything else
CONNECT = 1.0
READ = 5.0
ExecInContainer = Callable[[str, tuple[str, ...], float], tuple[int, str]]


@cache
def http() -> httpx.Client:
    """The one HTTP client for probes: no proxies, no redirects, own limits."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    # plain HTTP only: without verify=False the first probes would wait for a CA bundle that nobody needs
    return httpx.Client(trust_env=False, verify=False, timeout=httpx.Timeout(READ, connect=CONNECT), limits=limits)


def ask(probe: Probe, container: Container, run: ExecInContainer) -> Answer:
    """Ask one container.

    Args:
        probe: What to ask.
        container: Whom, as it was last observed.
        run: Runs a command in a container: (container id, argv, seconds) to (exit code, output).
    """
    began = time.monotonic()
    answer = _ask(probe, container, run)
    return Answer(answer.ok, answer.detail, answer.reached, time.monotonic() - began)


def _ask(probe: Probe, container: Container, run: ExecInContainer) -> Answer:
    match probe:
        case RunningProbe():
            return Answer(container.running, container.state)
        case ExitProbe():
            return Answer(container.state == "exited" and container.exit_code == 0, container.state)
        case ExecProbe():
            return _exec(probe, container, run)
        case _:
            return _network(probe, container)


def _network(probe: HttpProbe | TcpProbe | PostgresProbe | RedisProbe, container: Container) -> Answer:
    address = container.address
    if not address:
        return Answer(False, "it has no address of its own", reached=False)
    refused = _connect(address, probe.port)
    if refused:
        return Answer(False, f"{probe}: {refused}", reached=False)
    match probe:
        case TcpProbe():
            return Answer(True, "accepts connections")
        case HttpProbe():
            return _http(probe, address)
        case PostgresProbe() | RedisProbe():
            from blocks import probing_stores  # their drivers take 0.2 s to import

            return probing_stores.ask(probe, address, container)


def _connect(address: str, port: int) -> str:
    try:
        socket.create_connection((address, port), timeout=CONNECT).close()
    except OSError as error:
        return str(error.strerror or error)
    return ""


def _http(probe: HttpProbe, address: str) -> Answer:
    try:
        url = f"http://{address}:{probe.port}{probe.path}"
        response = http().get(url, headers={"Connection": "close"}, follow_redirects=probe.follow)
    except httpx.HTTPError as error:
        return Answer(False, f"{probe}: {type(error).__name__}: {error}")
    status = response.status_code
    passed = status == probe.status if probe.status else 200 <= status < 400
    return Answer(passed, f"{probe} answered {status}")


def _exec(probe: ExecProbe, container: Container, run: ExecInContainer) -> Answer:
    argv = probe.argv or declared_argv(container)
    if not argv:
        return Answer(container.running, "declares no health check")
    code, output = run(container.id, argv, probe.timeout)
    said = " ".join(output.split())[-200:]
    return Answer(code == 0, f"exit code {code}" + (f": {said}" if said and code else ""))


def declared_argv(container: Container) -> tuple[str, ...]:
    """The command of the health check that a container declares; empty without one."""
    kind, words = container.healthcheck[:1], container.healthcheck[1:]
    if kind == ("CMD-SHELL",):
        return ("/bin/sh", "-c", *words)
    return words if kind == ("CMD",) else ()

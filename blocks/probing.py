"""Asking services whether they are ready, over the network of their containers."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import cache

import httpx

from blocks.credentials import Run, reader
from blocks.reaching import CONNECT, Place, reach
from compose.stack.observed import Container
from compose.stack.probes import (
    ANSWER,
    LOCAL,
    Answer,
    ExecProbe,
    ExitProbe,
    HttpProbe,
    NetworkProbe,
    PostgresProbe,
    Probe,
    RedisProbe,
    RunningProbe,
    TcpProbe,
)

logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each probe would drown everything else
REDIRECTIONS = 20
ExecInContainer = Run


@cache
def http() -> httpx.Client:
    """The one HTTP client for probes: no proxies, no redirects, own limits."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    # plain HTTP only: without verify=False the first probes would wait for a CA bundle that nobody needs
    return httpx.Client(
        trust_env=False, verify=False, timeout=httpx.Timeout(ANSWER, connect=CONNECT), limits=limits
    )


def ask(probe: Probe, container: Container, run: ExecInContainer, limit: float = ANSWER) -> Answer:
    """Ask one container.

    Args:
        probe: What to ask.
        container: Whom, as it was last observed.
        run: Runs a command in a container: (container id, argv, seconds) to (exit code, output).
        limit: Seconds that an answer over the network may take.
    """
    began = time.monotonic()
    answer = _ask(probe, container, run, limit)
    return replace(answer, seconds=time.monotonic() - began)


def _ask(probe: Probe, container: Container, run: ExecInContainer, limit: float) -> Answer:
    match probe:
        case RunningProbe():
            return Answer(container.running, container.state)
        case ExitProbe():
            return Answer(container.state == "exited" and container.exit_code == 0, container.state)
        case ExecProbe():
            return _exec(probe, container, run)
        case _:
            return _network(probe, container, run, limit)


def _network(probe: NetworkProbe, container: Container, run: ExecInContainer, limit: float) -> Answer:
    place = reach(container, probe.port)
    if place is None:
        return Answer(False, "it has no address of its own", reached=False)
    if place.error:
        said = place.error.strerror or place.error
        reached = place.host_answers and not place.refused
        return Answer(False, f"{probe}: {said}", reached=reached, refused=place.refused)
    match probe:
        case TcpProbe():
            return Answer(True, "accepts connections")
        case HttpProbe():
            return _http(probe, place.host, limit)
        case PostgresProbe() | RedisProbe():
            from blocks import probing_stores  # their drivers take 0.2 s to import

            return probing_stores.ask(probe, place.host, container, reader(container, run), limit)


def _http(probe: HttpProbe, address: str, limit: float) -> Answer:
    try:
        status = _get(probe, address, limit).status_code
    except httpx.HTTPError as error:
        return Answer(False, f"{probe}: {type(error).__name__}: {error}")
    passed = status == probe.status if probe.status else 200 <= status < 400
    return Answer(passed, f"{probe} answered {status}")


def _get(probe: HttpProbe, address: str, limit: float) -> httpx.Response:
    """The answer; a redirection to the container by a name of its own stays at its address."""
    url = httpx.URL(f"http://{Place(address, probe.port)}{probe.path}")
    headers = {"Connection": "close", **({"Host": probe.host} if probe.host else {})}
    timeout = httpx.Timeout(limit, connect=min(CONNECT, limit))
    for _ in range(REDIRECTIONS):
        response = http().get(url, headers=headers, timeout=timeout)
        if not (probe.follow and response.next_request):
            return response
        url = response.next_request.url
        if url.host in LOCAL:
            headers["Host"] = url.netloc.decode()
            url = url.copy_with(host=address)
        elif url.host != address:
            headers.pop("Host", None)
    raise httpx.TooManyRedirects(f"more than {REDIRECTIONS} redirections", request=response.request)


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
        return (*container.shell, *words)
    return words if kind == ("CMD",) else ()

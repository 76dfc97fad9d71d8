"""Which probe proves a service ready: told by `x-ops`, else the declared health check, else inferred."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from urllib.parse import urlsplit

from compose.stack.backup import tools
from compose.stack.observed import Container
from compose.stack.probes import (
    LOCAL,
    ExecProbe,
    ExitProbe,
    HttpProbe,
    NetworkProbe,
    PostgresProbe,
    Readiness,
    RedisProbe,
    RunningProbe,
    TcpProbe,
)
from compose.stack.roles import Role, facts, role_of, usual_ports
from compose.stack.service import Healthcheck, Service, Stack

READY_WITHIN = 120.0


def is_oneshot(stack: Stack, name: str) -> bool:
    """True for a service that is meant to end: told by `x-ops`, or waited for until it completed."""
    if stack[name].hints.oneshot:
        return True
    edges = (edge for service in stack.services.values() for edge in service.depends)
    return any(edge.service == name and edge.condition == "service_completed_successfully" for edge in edges)


def ended_well(stack: Stack, name: str, container: Container) -> bool:
    """Whether a container's end is its work done: a one-shot that exited with 0, or a job that nobody waits for.

    A job is a service that nothing would start again, of which nothing is declared, and that serves no port.
    """
    if container.state != "exited" or container.exit_code != 0:
        return False
    if is_oneshot(stack, name):
        return True
    service = stack[name]
    if service.restart_policy in {"always", "unless-stopped"} or port_served(service):
        return False
    return not with_image_check(stack, readiness_of(stack, name), service, container).binding


def readiness_of(stack: Stack, name: str) -> Readiness:
    """How a service is proven ready.

    A hint or a declared health check binds: not passing it is a failure, as in Compose. What is inferred
    only informs, so that a project which Compose would start can never hang here.
    """
    service = stack[name]
    within = _within(service)
    if is_oneshot(stack, name):
        return Readiness(ExitProbe(), "one-shot", within=max(within, service.hints.ready_within or 600.0))
    hinted, check = _hinted(service), service.healthcheck
    declared = ExecProbe((), check.timeout) if check and check.test and not check.disabled else None
    if hinted:
        return Readiness(hinted, "x-ops.probe", declared, within=within)
    if check and declared:
        probe = None if service.host_network else equivalent(check, service)
        if probe:
            why = f"equivalent of the health check `{' '.join(check.test[1:])}`"
            return Readiness(probe, why, declared, within=within, equivalent=True)
        return Readiness(declared, "declared health check", within=within)
    return _inferred(service, within)


def _within(service: Service) -> float:
    if service.hints.ready_within:
        return service.hints.ready_within
    check = service.healthcheck
    if not check or check.disabled:
        return READY_WITHIN
    return max(READY_WITHIN, check.start_period + check.retries * (check.interval + check.timeout))


def _hinted(service: Service) -> NetworkProbe | ExecProbe | None:
    hint = service.hints.probe
    if hint is None:
        return None
    if hint.http:
        return HttpProbe(hint.http.port, hint.http.path, hint.http.status)
    if hint.tcp:
        return TcpProbe(hint.tcp.port)
    if hint.postgres:
        return replace(_postgres(service), strict=True)
    if hint.redis:
        return replace(_redis(service), strict=True)
    return ExecProbe(hint.exec) if hint.exec else None


def _inferred(service: Service, within: float) -> Readiness:
    role = role_of(service)
    known = facts(role)
    port = port_served(service)
    why = f"inferred: the image looks like {role}" if known.ports else "inferred: the port that the file names"
    probe: NetworkProbe | RunningProbe
    if role is Role.POSTGRES:
        probe = _postgres(service)
    elif role is Role.REDIS:
        probe = _redis(service)
    elif port and known.ready:
        probe = HttpProbe(port, known.ready)
    elif port:
        probe = TcpProbe(port)
    else:
        probe, why = RunningProbe(), "nothing is known of it but that it runs"
    if service.host_network and not isinstance(probe, RunningProbe):
        probe, why = RunningProbe(), "host network: its address is the host's"
    return Readiness(probe, why, binding=False, within=min(within, 30.0))


def port_served(service: Service) -> int | None:
    """The port at which a service is expected to answer, from the image's name or the file; None without one.

    A port that the file publishes goes before the image's usual one, save where a protocol or a route of the image
    is known: that one is not at any other port of it.
    """
    role = role_of(service)
    if role is Role.POSTGRES:
        return _postgres(service).port
    if role is Role.REDIS:
        return _redis(service).port
    known = usual_ports(service)
    targets = [port.target for port in service.ports if port.protocol == "tcp"]
    exposed = [int(m[0]) for e in service.raw.get("expose") or () if (m := re.match(r"\d+", str(e)))]
    rest = (*known, *targets, *exposed) if facts(role).ready else (*targets, *exposed, *known)
    return next((p for p in known if p in targets), None) or (*rest, None)[0]


def _postgres(service: Service) -> PostgresProbe:
    given = {key: value for key, value in service.environment.items() if value}
    return PostgresProbe(tools.postgres_port(given, service.command))


def _redis(service: Service) -> RedisProbe:
    return RedisProbe(int(_option(service.command, "--port") or 6379))


def equivalent(check: Healthcheck, service: Service) -> NetworkProbe | None:
    """The network probe that asks the same as a declared command; None where there is none.

    Only plain commands are understood: one HTTP fetch of the container itself, `pg_isready`,
    `redis-cli ping`, `nc -z`. Anything with pipes, substitutions or several commands is run as declared.
    """
    words = _words(check)
    if not words:
        return None
    program = words[0].rsplit("/", 1)[-1]
    arguments = words[1:]
    if program == "busybox" and arguments:
        program, arguments = arguments[0], arguments[1:]
    if program in {"curl", "wget"}:
        return _fetch(program, arguments)
    if program in {"pg_isready", "redis-cli"} and not _asks_itself(arguments, service):
        return None
    if program == "pg_isready":
        port = _option(arguments, "-p", "--port") or service.environment.get("PGPORT") or "5432"
        return PostgresProbe(int(port)) if port.isdigit() else None
    if program == "redis-cli" and [word.lower() for word in arguments][-1:] == ["ping"]:
        other = {"--tls", "-u", "-s"} & set(arguments)
        return None if other else RedisProbe(int(_option(arguments, "-p") or 6379))
    if program == "nc" and "-z" in arguments and arguments[-1].isdigit() and arguments[-2] in LOCAL:
        return TcpProbe(int(arguments[-1]))
    return None


def _words(check: Healthcheck) -> list[str]:
    if check.test[0] == "CMD":
        return list(check.test[1:])
    line = re.sub(r"\|\|\s*exit\s+\d+\s*;?\s*$", "", check.test[1] if len(check.test) > 1 else "").strip()
    line = re.sub(r"\s*[12]?>\s*/dev/null|\s*2>&1", "", line)
    line = (
        re.sub(r"\s-U\s+\S+|\s-d\s+\S+|\s-a\s+\S+", "", line)
        if re.match(r"(pg_isready|redis-cli)\b", line)
        else line
    )
    if re.search(r"[|;&<>$`()]", line):
        return []
    try:
        return shlex.split(line)
    except ValueError:
        return []


def _option(words: Sequence[str], *names: str) -> str | None:
    """The number that one of these options is given: `-p 1`, `-p1`, `--port 1`, `--port=1`."""
    found = (value for value in _values(words, names) if value.isdigit())
    return next(found, None)


def _values(words: Sequence[str], names: Sequence[str]) -> list[str]:
    joined = [
        word.removeprefix(name).removeprefix("=")
        for word in words
        for name in names
        if word.startswith(f"{name}=" if name.startswith("--") else name) and word != name
    ]
    return [value for flag, value in pairwise(words) if flag in names] + joined


def _asks_itself(words: Sequence[str], service: Service) -> bool:
    """Whether a command asks the container itself: at a local name, its own, or its socket."""
    own = {*LOCAL, service.name, service.container_name, service.raw.get("hostname")}
    hosts = _values(words, ("-h", "--host"))
    return all(host in own or host.startswith("/") for host in hosts)


PLAIN_FLAGS = re.compile(
    r"-[fsSqLkIO-]+|--(fail|silent|show-error|quiet|spider|no-verbose|location|head|output-document=\S+|tries=\d+|timeout=\d+|max-time=\d+|no-check-certificate)"
)
VALUE_FLAGS = {
    "-o",
    "-O",
    "-m",
    "-T",
    "-t",
    "--max-time",
    "--output",
    "--timeout",
    "--tries",
    "--connect-timeout",
    "--retry",
}


def _fetch(program: str, arguments: list[str]) -> HttpProbe | None:
    url = None
    words = iter(arguments)
    strict = program == "wget"
    for word in words:
        if word in VALUE_FLAGS or re.fullmatch(r"-[a-zA-Z]*[oOmTt]", word):
            next(words, None)
        elif word.startswith("-"):
            if not PLAIN_FLAGS.fullmatch(word):
                return None
            strict = strict or "f" in word.lstrip("-").split("=")[0]
        else:
            url = word
    try:
        parts = urlsplit(url if url and "://" in url else f"http://{url or ''}")
        port = parts.port or 80
    except ValueError:  # a variable of the container's own shell, or a mistake: it is run as declared
        return None
    if not strict or parts.scheme != "http" or (parts.hostname or "") not in LOCAL or "@" in parts.netloc:
        return None
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    follow = program == "wget" or any(
        word == "--location" or re.fullmatch(r"-[a-zA-Z]*L[a-zA-Z]*", word) for word in arguments
    )
    return HttpProbe(port, path, follow=follow, host=parts.netloc.removesuffix(":80"))


def with_image_check(stack: Stack, readiness: Readiness, service: Service, container: Container) -> Readiness:
    """How a service is proven ready, once its container tells of a health check that only the image declares.

    Where another service waits until it is healthy, Compose waits for that check, and so do we; where nobody
    does, an image's check that does not fit stops nothing.
    """
    edges = (edge for other in stack.services.values() for edge in other.depends)
    if not any(edge.service == service.name and edge.condition == "service_healthy" for edge in edges):
        return readiness
    silent = service.healthcheck is None or not (service.healthcheck.test or service.healthcheck.disabled)
    if not silent or readiness.binding or container.healthcheck[:1] not in {("CMD",), ("CMD-SHELL",)}:
        return readiness
    probe = None if service.host_network else equivalent(Healthcheck(container.healthcheck), service)
    within = service.hints.ready_within or max(READY_WITHIN, container.healthcheck_within)
    why = "the image's health check" if probe is None else "equivalent of the image's health check"
    fallback = ExecProbe() if probe else None
    return Readiness(probe or ExecProbe(), why, fallback, within=within, equivalent=probe is not None)

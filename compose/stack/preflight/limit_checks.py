"""Limits and reservations: of one service against the machine, and of all together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from compose.stack.inference import is_oneshot
from compose.stack.preflight.findings import Finding
from compose.stack.preflight.host import HostFacts
from compose.stack.preflight.quantities import human, number, redis_size, size
from compose.stack.roles import Role, role_of
from compose.stack.service import Service, Stack

SMALLEST = 6 * 1024**2
"""The engine refuses a smaller memory limit."""


def check_limits(stack: Stack, host: HostFacts) -> Iterator[Finding]:
    """Each service's own limits."""
    for name, service in stack.services.items():
        yield from _cpus(service, host)
        yield from _memory(service, host)
        yield from _redis(service)
        if not service.limit("memory") and not is_oneshot(stack, name):
            yield Finding("no-memory-limit", "no memory limit", name, "deploy.resources.limits.memory")


def _cpus(service: Service, host: HostFacts) -> Iterator[Finding]:
    limit, reserved = _number(service, "cpus"), number(service.reservation("cpus") or "")
    key = "deploy.resources.limits.cpus"
    if limit and host.cpus and limit > host.cpus:
        what = f"limit of {limit:g} CPUs, the machine has {host.cpus:g}"
        yield Finding("cpu-limit", what, service.name, key, next=f"{host.cpus:g} at most")
    if limit and reserved and reserved > limit:
        what = f"reserves {reserved:g} CPUs, limited to {limit:g}"
        yield Finding("cpu-reserved", what, service.name, "deploy.resources.reservations.cpus")


def _number(service: Service, what: str) -> float | None:
    return number(service.limit(what) or "")


def _memory(service: Service, host: HostFacts) -> Iterator[Finding]:
    limit, reserved = size(service.limit("memory") or ""), size(service.reservation("memory") or "")
    key = "deploy.resources.limits.memory"
    if limit and host.memory and limit > host.memory:
        what = f"limit of {human(limit)}, the machine has {human(host.memory)}"
        yield Finding("memory-limit", what, service.name, key)
    if limit and limit < SMALLEST:
        yield Finding("memory-limit-small", f"limit of {human(limit)}", service.name, key)
    if limit and reserved and reserved > limit:
        what = f"reserves {human(reserved)}, limited to {human(limit)}"
        yield Finding("reservation-above-limit", what, service.name, "deploy.resources.reservations.memory")


def _redis(service: Service) -> Iterator[Finding]:
    limit = size(service.limit("memory") or "")
    if role_of(service) is not Role.REDIS or not limit:
        return
    found = re.search(r"--maxmemory[ =]+['\"]?(\d+\w*)", " ".join(service.command))
    text, key = (
        (found[1], "command") if found else (_variable(service, "REDIS_MAXMEMORY"), "environment.REDIS_MAXMEMORY")
    )
    most = redis_size(text)
    if most and most >= limit:
        what = f"maxmemory {text} ({human(most)}) is not below the container's limit of {human(limit)}"
        advice = f"maxmemory {math.floor(limit * 0.75 / 1024**2)}mb or less"
        yield Finding("redis-maxmemory", what, service.name, key, next=advice)


def _variable(service: Service, key: str) -> str:
    return service.environment.get(key) or ""


def check_sums(stack: Stack, host: HostFacts, running: frozenset[str]) -> Iterator[Finding]:
    """All services together; one-shots come and go and are left out.

    Args:
        stack: The stack.
        host: The machine.
        running: Services that run already: what they use is not free, and not wanted again.
    """
    lasting = {name: service for name, service in stack.services.items() if not is_oneshot(stack, name)}
    reserved = {name: (size(s.reservation("memory") or "") or 0) * s.replicas for name, s in lasting.items()}
    limits = sum((size(s.limit("memory") or "") or 0) * s.replicas for s in lasting.values())
    total, new = sum(reserved.values()), sum(reserved[name] for name in reserved if name not in running)
    if host.memory and total > host.memory:
        what = f"{human(total)} of memory are reserved, the machine has {human(host.memory)}"
        yield Finding("memory-reserved", what, next=f"the biggest: {_biggest(reserved)}")
    elif host.memory_free is not None and new > host.memory_free:
        yield Finding("memory-short", f"{human(new)} of memory are reserved, {human(host.memory_free)} are free")
    if host.memory and limits > host.memory:
        what = f"memory limits add up to {human(limits)}, the machine has {human(host.memory)}"
        yield Finding("memory-overcommitted", what)
    yield from _cpu_sums(lasting, host)


def _biggest(amounts: dict[str, int]) -> str:
    ranked = sorted((name for name in amounts if amounts[name]), key=lambda name: -amounts[name])
    return ", ".join(f"{name} {human(amounts[name])}" for name in ranked[:3])


def _cpu_sums(lasting: dict[str, Service], host: HostFacts) -> Iterator[Finding]:
    if not host.cpus:
        return
    reserved = sum((number(s.reservation("cpus") or "") or 0) * s.replicas for s in lasting.values())
    limits = sum((_number(s, "cpus") or 0) * s.replicas for s in lasting.values())
    if reserved > host.cpus:
        yield Finding("cpu-reserved", f"{reserved:g} CPUs are reserved, the machine has {host.cpus:g}")
    if limits > 4 * host.cpus:
        yield Finding("cpu-overcommitted", f"CPU limits add up to {limits:g}, the machine has {host.cpus:g}")

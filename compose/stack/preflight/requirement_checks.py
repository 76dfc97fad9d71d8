"""The machine against section 7.1 of the architecture document, scaled to the stack's size; what is left of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from compose.stack.inference import is_oneshot
from compose.stack.machine import Distribution, version_of
from compose.stack.preflight.findings import Finding
from compose.stack.preflight.host import Disk, HostFacts
from compose.stack.preflight.quantities import human, size
from compose.stack.service import Stack

FULL = 52
"""Services of the stack that the document's figures are for."""

GB = 1000**3
CPUS, MEMORY, DISK, FREE = (8, 16), (32 * 1024**3, 64 * 1024**3), (100 * GB, 200 * GB), 50 * GB
ENGINE, COMPOSE = (24, 0), (2, 0)
SYSTEMS = {
    "ubuntu": (20, 4),
    "debian": (12,),
    "rhel": (8,),
    "rocky": (8,),
    "almalinux": (8,),
    "centos": (8,),
    "ol": (8,),
}

HARDLY, HARDLY_INODES = 1024**3, 5_000
LITTLE_INODES = 0.05
HOME_NEEDS = 100 * 1024**2


@dataclass(frozen=True)
class Needs:
    """Minimum and recommendation for one stack."""

    cpus: tuple[int, int]
    memory: tuple[int, int]
    disk: tuple[int, int]
    free: int


def needs(stack: Stack) -> Needs:
    """Section 7.1 for a stack of this size: its share of the 52 services that the document counts.

    Memory is what each service reserves where the file says so, else its share, its limit at most.
    """
    lasting = [service for name, service in stack.services.items() if not is_oneshot(stack, name)]
    count = sum(service.replicas for service in lasting)
    share = min(1.0, count / FULL)
    memory, share_of_memory = 0, MEMORY[0] // FULL
    for service in lasting:
        reserved, limit = size(service.reservation("memory") or ""), size(service.limit("memory") or "")
        memory += (reserved or min(limit or share_of_memory, share_of_memory)) * service.replicas
    cpus = max(1, math.floor(CPUS[0] * share))
    disk = math.floor(DISK[0] * share / GB) * GB
    return Needs((cpus, 2 * cpus), (memory, 2 * memory), (disk, 2 * disk), math.floor(FREE * share))


def check_requirements(stack: Stack, host: HostFacts, running: frozenset[str]) -> Iterator[Finding]:
    """CPUs, memory, disk, system and versions against what the document asks for.

    Args:
        stack: The stack.
        host: The machine.
        running: Services that run already: their disk space is taken, not wanted.
    """
    need = needs(stack)
    yield from _amount("cpus", host.cpus, need.cpus, lambda value: f"{value:g} CPUs")
    yield from _amount("memory", host.memory, need.memory, human)
    if host.disks:
        data = host.disks[0]
        yield from _amount("disk", data.total, need.disk, lambda value: f"{value / GB:.0f} GB of disk")
        waiting = len([name for name in stack.services if name not in running]) / max(1, len(stack.services))
        if HARDLY <= data.free < need.free * waiting:
            what = f"{data.path} has {human(data.free)} free, {human(need.free * waiting)} are asked for"
            yield Finding("disk-low", what, key="disk")
    yield from _versions(host)


def _amount(
    key: str, there: float | None, wanted: tuple[int, int], name: Callable[[float], str]
) -> Iterator[Finding]:
    if there is None:
        return
    least, better = wanted
    if there < least:
        yield Finding("below-minimum", f"{name(there)}, the minimum for this stack is {name(least)}", key=key)
    elif there < better:
        yield Finding("below-recommended", f"{name(there)}, recommended for this stack: {name(better)}", key=key)


def _versions(host: HostFacts) -> Iterator[Finding]:
    if host.engine and version_of(host.engine) < ENGINE:
        yield Finding("below-minimum", f"Docker Engine {host.engine}, 24.0 or newer is asked for", key="engine")
    if host.compose and version_of(host.compose) < COMPOSE:
        yield Finding("below-minimum", f"Docker Compose {host.compose}, V2 is asked for", key="compose")
    if host.system.id and not supported(host.system):
        what = f"{host.system}; Ubuntu 20.04+, RHEL 8+, Debian 12+ or Docker Desktop are asked for"
        yield Finding("below-minimum", what, key="system")


def supported(system: Distribution) -> bool:
    """Whether the document (or we, for Debian) name this system."""
    if system.id == "docker desktop":
        return True
    oldest = next((SYSTEMS[name] for name in (system.id, *system.like) if name in SYSTEMS), None)
    if oldest is None:
        return False
    return system.id not in SYSTEMS or not system.version or version_of(system.version) >= oldest


def check_disks(host: HostFacts) -> Iterator[Finding]:
    """Space and inodes where the engine and we write."""
    for index, disk in enumerate(host.disks):
        floor = HARDLY if index == 0 else HOME_NEEDS
        if disk.free < floor:
            what = f"{disk.path} has {human(disk.free)} free of {human(disk.total)}"
            yield Finding("disk-full", what, key=f"disk:{disk.path}")
        yield from _inodes(disk)


def _inodes(disk: Disk) -> Iterator[Finding]:
    if not disk.inodes:
        return
    what = f"{disk.path} has {disk.inodes_free} inodes free of {disk.inodes}"
    if disk.inodes_free < HARDLY_INODES:
        yield Finding("inodes-full", what, key=f"inodes:{disk.path}")
    elif disk.inodes_free < LITTLE_INODES * disk.inodes:
        yield Finding("inodes-low", what, key=f"inodes:{disk.path}")

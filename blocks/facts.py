"""What this machine and its engine have: gathered for the preflight, nothing decided."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from blocks import machine, sockets
from blocks.engine import Engine, talking
from blocks.sources import kind_of
from compose.stack.machine import COMPOSE_VERSION, Distribution
from compose.stack.observed import PROJECT
from compose.stack.preflight.host import Disk, HostFacts, Network, Published
from compose.stack.preflight.path_checks import copied, dockerfile, wanted_paths
from compose.stack.preflight.port_checks import claims
from compose.stack.service import Stack

Result = TypeVar("Result")


def host_facts(engine: Engine, stack: Stack | None, home: Path) -> HostFacts:
    """Look at everything that the first pass wants to know; about 0.1 s.

    Args:
        engine: The engine.
        stack: The stack, for the ports and paths that it names; None when it cannot be read.
        home: OPS_HOME.
    """
    api, here = engine.client.api, is_local(engine)
    with talking(), ThreadPoolExecutor(6) as pool:
        info = pool.submit(api.info)
        version = pool.submit(compose_version)
        containers = pool.submit(api.containers, all=True)
        networks = pool.submit(api.networks)
        volumes = pool.submit(api.volumes)
        images = pool.submit(engine.images, [s.image for s in stack.services.values()] if stack else [])
        published = tuple(_published(containers.result()))
        nameless = {(port.protocol, port.port) for port in published}  # a container's: no process to look for
        listeners = sockets.listeners(_wanted_ports(stack), nameless) if here else ()
        paths, dockerfiles = _paths(stack) if here and stack else ({}, {})
        known = info.result()
        return HostFacts(
            cpus=float(known.get("NCPU") or 0) or None,
            memory=int(known.get("MemTotal") or 0) or None,
            memory_free=memory_free(engine),
            disks=_disks(str(known.get("DockerRootDir") or ""), home, here=here),
            system=_system(known, here=here),
            engine=str(known.get("ServerVersion") or ""),
            compose=version.result(),
            listeners=listeners,
            published=published,
            networks=tuple(_network(body) for body in networks.result()),
            routes=sockets.routes() if here else (),
            volumes=frozenset(body["Name"] for body in volumes.result().get("Volumes") or ()),
            containers={
                name.lstrip("/"): (body.get("Labels") or {}).get(PROJECT, "")
                for body in containers.result()
                for name in body.get("Names") or ()
            },
            paths=paths,
            dockerfiles=dockerfiles,
            images=frozenset(name for name, found in images.result().items() if found),
        )


def is_local(engine: Engine) -> bool:
    """Whether the engine runs on this machine, so that its paths and ports are ours."""
    return str(getattr(engine.client.api, "base_url", "")).startswith("http+docker")


@lru_cache(maxsize=1)
def compose_version() -> str:
    """Version of the Compose plugin, asked once per process."""
    return machine.ask(COMPOSE_VERSION)[1]


def _wanted_ports(stack: Stack | None) -> frozenset[int]:
    wanted = claims(stack) if stack else ()
    return frozenset(port for claim in wanted for port in range(claim.first, claim.last + 1))


def _paths(stack: Stack) -> tuple[dict[str, str], dict[str, str]]:
    """The kinds of all paths that the stack names, and its Dockerfiles' texts."""
    paths = {path: kind_of(path) for path in wanted_paths(stack)}
    texts: dict[str, str] = {}
    for service in stack.services.values():
        build = service.raw.get("build")
        if not isinstance(build, Mapping) or not build.get("context"):
            continue
        file = dockerfile(build)
        if paths.get(file) == "file" and os.access(file, os.R_OK):
            texts[file] = Path(file).read_text(encoding="utf-8", errors="replace")
            for source in copied(texts[file]):
                place = os.path.normpath(f"{build['context']}/{source}")
                paths[place] = kind_of(place)
    return paths, texts


def memory_free(engine: Engine) -> int | None:
    """Bytes that programs can have on the engine's machine; None where that is another one."""
    if not is_local(engine):
        return None
    lines = _quietly(lambda: Path("/proc/meminfo").read_text(encoding="ascii"), "").splitlines()
    found = next((line.split() for line in lines if line.startswith("MemAvailable:")), None)
    return int(found[1]) * 1024 if found else None


def _disks(data_root: str, home: Path, *, here: bool) -> tuple[Disk, ...]:
    places = ([data_root] if data_root else []) + [str(home)] if here else []
    found = [disk for place in places if (disk := disk_of(place))]
    return tuple(found) if here and len(found) == len(places) else ()


def disk_of(place: str) -> Disk | None:
    """The file system that a path is on, or would be on."""
    path = Path(place)
    while not path.exists() and path != path.parent:
        path = path.parent
    state = _quietly(lambda: os.statvfs(path), None)
    if state is None:
        return None
    size = state.f_frsize
    return Disk(place, state.f_blocks * size, state.f_bavail * size, state.f_files, state.f_favail)


def _system(info: Mapping[str, Any], *, here: bool) -> Distribution:
    name = str(info.get("OperatingSystem") or "")
    if "docker desktop" in name.lower():
        return Distribution("docker desktop")
    if here:
        return machine.distribution()
    words = shlex.split(name.replace("/", " ")) or [""]
    return Distribution(words[0].lower(), next((word for word in words if word[:1].isdigit()), ""))


def _published(containers: Iterable[Mapping[str, Any]]) -> Iterable[Published]:
    for body in containers:
        name = next(iter(body.get("Names") or ["?"])).lstrip("/")
        project = (body.get("Labels") or {}).get(PROJECT, "")
        for port in body.get("Ports") or ():
            if port.get("PublicPort"):
                address = str(port.get("IP") or "")
                yield Published(str(port["Type"]), address, int(port["PublicPort"]), name, project)


def _network(body: Mapping[str, Any]) -> Network:
    configs = (body.get("IPAM") or {}).get("Config") or ()
    subnets = tuple(str(entry["Subnet"]) for entry in configs if entry.get("Subnet"))
    return Network(str(body["Name"]), subnets, (body.get("Labels") or {}).get(PROJECT, ""))


def _quietly(ask: Callable[[], Result], otherwise: Result) -> Result:
    try:
        return ask()
    except OSError:
        return otherwise

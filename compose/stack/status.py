"""How a stack is doing, one row per service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from compose.stack.inference import ended_well, readiness_of
from compose.stack.observed import Container, Observed
from compose.stack.probes import HttpProbe
from compose.stack.release import Release
from compose.stack.roles import Role, role_of
from compose.stack.service import Port, Service, Stack

RIGHT = frozenset({"healthy", "ready", "running", "done", "scaled to zero"})
"""The states in which a service is as it should be."""


@dataclass(frozen=True)
class ServiceStatus:
    """One service now.

    Args:
        state: One word for people: `healthy`, `running`, `done`, `missing`, `exited 3`, ...
        ready_after: Seconds from its start to its first good probe, from the last release; None if unknown.
        proof: How the last release proved it ready.
        origin: Where its image came from: `upstream`, `built here`, or empty when unknown.
        urls: Where it is reached from this machine.
    """

    service: str
    state: str
    since: str = ""
    ready_after: float | None = None
    proof: str = ""
    image: str = ""
    origin: str = ""
    urls: tuple[str, ...] = ()

    @property
    def right(self) -> bool:
        """Whether it is as it should be."""
        return self.state in RIGHT

    def as_dict(self) -> dict[str, object]:
        """For programs."""
        return {**asdict(self), "urls": list(self.urls), "right": self.right}


def status_of(
    stack: Stack,
    observed: Observed,
    releases: Sequence[Release] = (),
    built_here: Mapping[str, bool] | None = None,
) -> tuple[ServiceStatus, ...]:
    """One row per service, in the file's order.

    Args:
        releases: What they know of readiness and images; the last one counts.
        built_here: Whether each image, by id, was built on this machine, where the engine knows.
    """
    return tuple(_row(stack, service, observed, releases, built_here or {}) for service in stack.services.values())


def _row(
    stack: Stack,
    service: Service,
    observed: Observed,
    releases: Sequence[Release],
    built_here: Mapping[str, bool],
) -> ServiceStatus:
    containers = observed.of(service.name)
    release = releases[-1] if releases else None
    health = release.health.get(service.name) if release else None
    return ServiceStatus(
        service=service.name,
        state=_state(stack, service, containers, release),
        since=min((c.started_at for c in containers if c.running), default=""),
        ready_after=_ready_after(service.name, releases),
        proof=health.proof if health else "",
        image=containers[0].image if containers else service.image,
        origin=_origin(service, containers, release, built_here),
        urls=tuple(url for port in service.ports if (url := _url(stack, service, port))),
    )


def _ready_after(name: str, releases: Sequence[Release]) -> float | None:
    """From the last release that started it; later ones found it running."""
    times = (r.health[name].seconds for r in reversed(releases) if name in r.health and r.health[name].seconds)
    return next((round(seconds, 1) for seconds in times), None)


def _state(stack: Stack, service: Service, containers: tuple[Container, ...], release: Release | None) -> str:
    if service.replicas == 0:
        return "scaled to zero"
    if len(containers) < service.replicas:
        return "missing" if not containers else f"{len(containers)} of {service.replicas} there"
    words = [_container_state(stack, service, container, release) for container in containers]
    return next((word for word in words if word not in RIGHT), words[0])


def _container_state(stack: Stack, service: Service, container: Container, release: Release | None) -> str:
    if container.running and container.health == "starting" and _proven(service, container, release):
        return "ready"  # the engine's own check has not had its turn yet
    if container.running:
        return container.health or "running"
    if container.state == "exited":
        finished = ended_well(stack, service.name, container)
        return "done" if finished else "stopped" if container.exit_code in (0, 143) else _ended(container)
    return container.state


def _proven(service: Service, container: Container, release: Release | None) -> bool:
    """True when the release was recorded after this container started, with a proof of this service."""
    health = release.health.get(service.name) if release else None
    known = health is not None and health.state in {"ready", "unchanged"}
    return known and release is not None and container.started_at[:19] <= release.created[:19]


def _ended(container: Container) -> str:
    return "out of memory" if container.oom_killed else f"exited {container.exit_code}"


def _origin(
    service: Service,
    containers: tuple[Container, ...],
    release: Release | None,
    built_here: Mapping[str, bool],
) -> str:
    record = release.images.get(service.name) if release else None
    identity = containers[0].image_id if containers else (record.id if record else "")
    known = built_here.get(identity)
    if known is None and record and record.id == identity:
        known = record.built_here
    return "" if known is None else ("built here" if known else "upstream")


def _url(stack: Stack, service: Service, port: Port) -> str:
    if port.published is None or port.protocol != "tcp":
        return ""
    host = port.host_ip if port.host_ip not in ("", "0.0.0.0", "::") else "127.0.0.1"
    place = f"[{host}]:{port.published}" if ":" in host else f"{host}:{port.published}"
    return f"http://{place.removesuffix(':80')}" if _speaks_http(stack, service) else place


def _speaks_http(stack: Stack, service: Service) -> bool:
    web = role_of(service) in {Role.HTTP, Role.NGINX, Role.GRAFANA, Role.PROMETHEUS}
    return web or isinstance(readiness_of(stack, service.name).probe, HttpProbe)

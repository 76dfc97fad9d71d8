"""What the engine says of a project's containers, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
NUMBER = "com.docker.compose.container-number"
CONFIG_HASH = "com.docker.compose.config-hash"
IMAGE = "com.docker.compose.image"
ONE_OFF = "com.docker.compose.oneoff"
REPLACES = "com.docker.compose.replace"


@dataclass(frozen=True)
class Container:
    """One container of a project.

    Args:
        addresses: Its own addresses, by network; the IPv6 one where that is all it has there.
        addresses6: Its IPv6 addresses, by network.
        published: Host and port of this machine, by port inside, TCP only.
        command: Everything that it was started with, entry point included.
        healthcheck: The command of its health check, from the file or from the image.
        shell: What runs commands of the form `CMD-SHELL`.
        healthcheck_within: Seconds until the engine itself would call it unhealthy.
        mounts: Volume name or host path, by path inside.
        exit_code: Of its last end; meaningless while it runs.
        health: `healthy`, `unhealthy`, `starting`, or empty without a health check.
        started_at, finished_at: RFC 3339, as the engine gives them.
    """

    id: str
    name: str
    service: str
    number: int = 1
    image: str = ""
    image_id: str = ""
    config_hash: str = ""
    state: str = "created"
    exit_code: int = 0
    health: str = ""
    error: str = ""
    oom_killed: bool = False
    restarts: int = 0
    started_at: str = ""
    finished_at: str = ""
    created_at: str = ""
    network_mode: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)
    addresses6: Mapping[str, str] = field(default_factory=dict)
    published: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    mounts: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = field(default=(), repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    labels: Mapping[str, str] = field(default_factory=dict)
    healthcheck: tuple[str, ...] = ()
    healthcheck_within: float = 0.0
    shell: tuple[str, ...] = ("/bin/sh", "-c")
    restart_policy: str = ""

    @property
    def running(self) -> bool:
        """True while its process runs (paused and restarting ones do not count)."""
        return self.state == "running"

    @property
    def address(self) -> str | None:
        """The first of its own addresses."""
        return next(iter(self.every_address), None)

    @property
    def every_address(self) -> tuple[str, ...]:
        """All of its own addresses, each once."""
        found = (*self.addresses.values(), *self.addresses6.values())
        return tuple(dict.fromkeys(address for address in found if address))

    @property
    def was_started(self) -> bool:
        """True when it ran at least once."""
        return bool(self.started_at) and not self.started_at.startswith("0001-")


def parse_container(inspect: Mapping[str, Any]) -> Container:
    """Read what `docker inspect` says of one container."""
    config, state = inspect.get("Config") or {}, inspect.get("State") or {}
    labels = config.get("Labels") or {}
    network = inspect.get("NetworkSettings") or {}
    addresses, addresses6 = _addresses(network.get("Networks") or {})
    pairs = (entry.partition("=") for entry in config.get("Env") or ())
    host = inspect.get("HostConfig") or {}
    return Container(
        id=inspect["Id"],
        name=str(inspect.get("Name") or "").lstrip("/"),
        service=labels.get(SERVICE, ""),
        number=int(labels.get(NUMBER) or 1),
        image=config.get("Image") or "",
        image_id=inspect.get("Image") or "",
        config_hash=labels.get(CONFIG_HASH, ""),
        state=state.get("Status") or "created",
        exit_code=int(state.get("ExitCode") or 0),
        health=(state.get("Health") or {}).get("Status") or "",
        error=state.get("Error") or "",
        oom_killed=bool(state.get("OOMKilled")),
        restarts=int(inspect.get("RestartCount") or 0),
        started_at=state.get("StartedAt") or "",
        finished_at=state.get("FinishedAt") or "",
        created_at=inspect.get("Created") or "",
        network_mode=str(host.get("NetworkMode") or ""),
        addresses=addresses,
        addresses6=addresses6,
        published=_published(network.get("Ports") or {}),
        mounts={m["Destination"]: m.get("Name") or m.get("Source") or "" for m in inspect.get("Mounts") or ()},
        command=(str(inspect.get("Path") or ""), *map(str, inspect.get("Args") or ())),
        environment={key: value for key, _, value in pairs},
        labels=labels,
        healthcheck=tuple((config.get("Healthcheck") or {}).get("Test") or ()),
        healthcheck_within=_check_within(config.get("Healthcheck") or {}),
        shell=tuple(config.get("Shell") or ("/bin/sh", "-c")),
        restart_policy=((host.get("RestartPolicy") or {}).get("Name") or ""),
    )


def parse_listed(entry: Mapping[str, Any]) -> Container:
    """Read one line of the engine's list of containers: no environment, exit code, health or start time."""
    labels = entry.get("Labels") or {}
    addresses, addresses6 = _addresses((entry.get("NetworkSettings") or {}).get("Networks") or {})
    return Container(
        id=entry["Id"],
        name=str((entry.get("Names") or [""])[0]).lstrip("/"),
        service=labels.get(SERVICE, ""),
        number=int(labels.get(NUMBER) or 1),
        image=entry.get("Image") or "",
        image_id=entry.get("ImageID") or "",
        config_hash=labels.get(CONFIG_HASH, ""),
        state=entry.get("State") or "created",
        network_mode=str((entry.get("HostConfig") or {}).get("NetworkMode") or ""),
        addresses=addresses,
        addresses6=addresses6,
        labels=labels,
    )


def _addresses(networks: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The first address of each network, and all IPv6 ones."""
    entries = {name: entry or {} for name, entry in networks.items()}
    six = {name: entry.get("GlobalIPv6Address") or "" for name, entry in entries.items()}
    return {name: entry.get("IPAddress") or six[name] for name, entry in entries.items()}, six


LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


def _published(ports: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    """Where each TCP port is reached on this machine; one on every address is, at the loopback one."""
    found: dict[int, tuple[str, int]] = {}
    for name, bindings in ports.items():
        inside, _, protocol = name.partition("/")
        for binding in (one for one in bindings or () if protocol == "tcp" and one.get("HostPort")):
            host = str(binding.get("HostIp") or "")
            found.setdefault(int(inside), (LOOPBACK.get(host, host), int(binding["HostPort"])))
    return found


def _check_within(check: Mapping[str, Any]) -> float:
    """Seconds until the engine would call a container unhealthy; its own defaults where nothing is set."""
    interval, timeout = (int(check.get(key) or 0) / 1e9 or 30.0 for key in ("Interval", "Timeout"))
    return int(check.get("StartPeriod") or 0) / 1e9 + (int(check.get("Retries") or 0) or 3) * (interval + timeout)


@dataclass(frozen=True)
class Observed:
    """All containers of a project, one-off runs left out."""

    containers: tuple[Container, ...] = ()

    def of(self, service: str) -> tuple[Container, ...]:
        """The containers of one service, by number."""
        return tuple(sorted((c for c in self.containers if c.service == service), key=lambda c: c.number))

    @property
    def services(self) -> tuple[str, ...]:
        """The services that have containers."""
        return tuple(dict.fromkeys(container.service for container in self.containers))


def without_one_offs(containers: Iterable[Container]) -> Observed:
    """The containers of services; those of `docker compose run` are left out."""
    return Observed(tuple(c for c in containers if c.labels.get(ONE_OFF, "False").lower() != "true"))

"""What a compose file says about its services, as values.

Source: the rendered form that `docker compose config` prints as YAML (its JSON form drops `x-*` keys).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compose.stack.hints import OpsHints, StackHints

SHARED_NAMESPACES = ("network_mode", "ipc", "pid")


@dataclass(frozen=True)
class Dependency:
    """One edge of `depends_on`.

    Args:
        service: The service that is waited for.
        condition: `service_started`, `service_healthy` or `service_completed_successfully`.
        required: False when its absence or failure must not stop the dependent.
        restart: True when the dependent restarts after Compose updates this service.
    """

    service: str
    condition: str = "service_started"
    required: bool = True
    restart: bool = False


@dataclass(frozen=True)
class Port:
    """One port, as published on the host (`published` is None when the engine chooses)."""

    target: int
    published: int | None
    host_ip: str = ""
    protocol: str = "tcp"


@dataclass(frozen=True)
class Mount:
    """One entry of `volumes` or `tmpfs` (source is None for anonymous volumes and tmpfs)."""

    kind: str
    target: str
    source: str | None = None
    read_only: bool = False
    create_host_path: bool = True


@dataclass(frozen=True)
class Healthcheck:
    """A declared health check; durations in seconds.

    Args:
        test: The command as Compose gives it, with `CMD` or `CMD-SHELL` first; empty when only times are set.
    """

    test: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float | None = None

    @property
    def disabled(self) -> bool:
        """True for `disable: true` and for `test: [NONE]`."""
        return self.test[:1] == ("NONE",)


@dataclass(frozen=True)
class Service:
    """One service of a stack.

    Args:
        name: Its key under `services`.
        image: The reference that its containers are made of (Compose's default name for a pure build).
        depends: Its edges, those implied by shared namespaces and `volumes_from` included.
        raw: Everything that the rendered file says about it.
    """

    name: str
    image: str
    depends: tuple[Dependency, ...] = ()
    replicas: int = 1
    ports: tuple[Port, ...] = ()
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str | None] = field(default_factory=dict)
    healthcheck: Healthcheck | None = None
    hints: OpsHints = field(default_factory=OpsHints)
    raw: Mapping[str, Any] = field(default_factory=dict)

    @property
    def builds(self) -> bool:
        """True when the file tells how to build the image."""
        return "build" in self.raw

    @property
    def container_name(self) -> str | None:
        """The fixed name, if the author gave one."""
        return self.raw.get("container_name")

    @property
    def command(self) -> tuple[str, ...]:
        """The command of the file (not of the image), split into words."""
        return _split(self.raw.get("command"))

    @property
    def entrypoint(self) -> tuple[str, ...]:
        """The entry point of the file (not of the image), split into words."""
        return _split(self.raw.get("entrypoint"))

    @property
    def restart_policy(self) -> str:
        """`no`, `on-failure`, `always` or `unless-stopped`; that of `deploy` goes before, as in Compose."""
        told = ((self.raw.get("deploy") or {}).get("restart_policy") or {}).get("condition")
        policy = {"any": "always", "none": "no"}.get(told, told) if told else self.raw.get("restart") or "no"
        return str(policy).partition(":")[0]

    @property
    def shares_with(self) -> tuple[str, ...]:
        """The services whose network, IPC or PID namespace this one lives in."""
        values = (str(self.raw.get(key) or "") for key in SHARED_NAMESPACES)
        return tuple(value.removeprefix("service:") for value in values if value.startswith("service:"))

    @property
    def host_network(self) -> bool:
        """True when the service lives in the host's network namespace."""
        return self.raw.get("network_mode") == "host"

    def limit(self, what: str) -> str | None:
        """The limit `cpus` or `memory` as written, from `deploy` or from the service's own keys."""
        limits = ((self.raw.get("deploy") or {}).get("resources") or {}).get("limits") or {}
        own = {"cpus": self.raw.get("cpus"), "memory": self.raw.get("mem_limit")}
        value = limits.get(what) or own.get(what)
        return None if value in (None, "", 0) else str(value)

    def reservation(self, what: str) -> str | None:
        """The reservation `cpus` or `memory` as written."""
        kept = ((self.raw.get("deploy") or {}).get("resources") or {}).get("reservations") or {}
        value = kept.get(what) or (self.raw.get("mem_reservation") if what == "memory" else None)
        return None if value in (None, "", 0) else str(value)


@dataclass(frozen=True)
class Stack:
    """A compose project, rendered.

    Args:
        project: The project's name, as in its containers' labels.
        services: By name, in the file's order.
        hints: The file's top-level `x-ops`.
        raw: The whole rendered file.
    """

    project: str
    services: Mapping[str, Service]
    hints: StackHints = field(default_factory=StackHints)
    raw: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    def section(self, key: str) -> Mapping[str, Any]:
        """A top-level section (`volumes`, `networks`, `secrets`, `configs`), by key."""
        return {name: value or {} for name, value in (self.raw.get(key) or {}).items()}


def _split(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else tuple(str(value or "").split())


def parse_stack(rendered: Mapping[str, Any]) -> Stack:
    """Read the rendered compose file.

    Raises:
        Refused: An `x-ops` block has unknown keys or values; all problems are named at once.
    """
    project = str(rendered.get("name") or "default")
    services = {
        name: parse_service(name, body or {}, project) for name, body in (rendered.get("services") or {}).items()
    }
    return Stack(project, services, StackHints.read("x-ops", rendered.get("x-ops")), rendered)


def parse_service(name: str, body: Mapping[str, Any], project: str) -> Service:
    """Read one service of the rendered file."""
    return Service(
        name=name,
        image=str(body.get("image") or f"{project}-{name}"),
        depends=_dependencies(body),
        replicas=_replicas(body),
        ports=tuple(_port(entry) for entry in body.get("ports") or ()),
        mounts=_mounts(body),
        environment=_environment(body.get("environment") or {}),
        healthcheck=_healthcheck(body.get("healthcheck")),
        hints=OpsHints.read(f"services.{name}.x-ops", body.get("x-ops")),
        raw=body,
    )


def seconds(value: object) -> float:
    """Turn a Compose duration (`1m30s`, `500ms`, a number) into seconds."""
    text = str(value)
    if re.fullmatch(r"[0-9.]+", text):
        return float(text)
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([0-9.]+)(us|ms|s|m|h)", text))


def _dependencies(body: Mapping[str, Any]) -> tuple[Dependency, ...]:
    declared = body.get("depends_on") or {}
    if not isinstance(declared, Mapping):
        declared = {name: {} for name in declared}
    found = {
        name: Dependency(
            name,
            (entry or {}).get("condition", "service_started"),
            bool((entry or {}).get("required", True)),
            bool((entry or {}).get("restart", False)),
        )
        for name, entry in declared.items()
    }
    for name in _implied(body):
        found.setdefault(name, Dependency(name, restart=True))
    return tuple(found.values())


def _implied(body: Mapping[str, Any]) -> list[str]:
    namespaces = [str(body.get(key) or "") for key in SHARED_NAMESPACES]
    names = [value.removeprefix("service:") for value in namespaces if value.startswith("service:")]
    names += [str(link).split(":")[0] for link in body.get("links") or ()]
    sources = [str(entry).split(":") for entry in body.get("volumes_from") or ()]
    return names + [parts[0] for parts in sources if parts[0] != "container"]


def _replicas(body: Mapping[str, Any]) -> int:
    for value in ((body.get("deploy") or {}).get("replicas"), body.get("scale")):
        if value is not None:
            return int(value)
    return 1


def _port(entry: Mapping[str, Any]) -> Port:
    published = str(entry.get("published") or "")
    return Port(
        int(entry["target"]),
        int(published) if published.isdigit() else None,
        str(entry.get("host_ip") or ""),
        str(entry.get("protocol") or "tcp"),
    )


def _mounts(body: Mapping[str, Any]) -> tuple[Mount, ...]:
    entries = [
        Mount(
            str(entry.get("type", "volume")),
            str(entry["target"]),
            entry.get("source"),
            bool(entry.get("read_only", False)),
            bool((entry.get("bind") or {}).get("create_host_path", False)),
        )
        for entry in body.get("volumes") or ()
    ]
    tmpfs = body.get("tmpfs") or ()
    names = [tmpfs] if isinstance(tmpfs, str) else list(tmpfs)
    return tuple(entries + [Mount("tmpfs", str(name).split(":")[0]) for name in names])


def silent_binds(raw: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The `bind` sections of a rendered project that do not tell whether a missing directory is made."""
    services = (raw.get("services") or {}).values()
    entries = [
        entry for body in services for entry in (body or {}).get("volumes") or () if isinstance(entry, dict)
    ]
    binds = [entry["bind"] for entry in entries if isinstance(entry.get("bind"), dict)]
    return [bind for bind in binds if "create_host_path" not in bind]


def _environment(value: Mapping[str, Any] | list[str]) -> dict[str, str | None]:
    if isinstance(value, Mapping):
        return {key: None if item is None else str(item) for key, item in value.items()}
    pairs = (entry.partition("=") for entry in value)
    return {key: (item if equals else None) for key, equals, item in pairs}


def _healthcheck(body: Mapping[str, Any] | None) -> Healthcheck | None:
    if not body:
        return None
    if body.get("disable"):
        return Healthcheck(("NONE",))
    test = body.get("test") or ()
    words = ("CMD-SHELL", test) if isinstance(test, str) else tuple(str(word) for word in test)
    times = {
        key: seconds(body[key])
        for key in ("interval", "timeout", "start_period", "start_interval")
        if body.get(key)
    }
    return Healthcheck(words, retries=int(body.get("retries") or 3), **times)

"""What this machine and its engine have, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from compose.stack.machine import Distribution


@dataclass(frozen=True)
class Listener:
    """A process that listens on a port.

    Args:
        holder: `nginx (pid 812)`.
    """

    protocol: str
    address: str
    port: int
    holder: str = ""


@dataclass(frozen=True)
class Published:
    """A port that a container publishes.

    Args:
        project: The compose project it belongs to, empty for none.
    """

    protocol: str
    address: str
    port: int
    container: str
    project: str = ""

    @property
    def holder(self) -> str:
        """The container, with its project."""
        return f"container {self.container}" + (f" of project {self.project}" if self.project else "")


@dataclass(frozen=True)
class Network:
    """A network of the engine."""

    name: str
    subnets: tuple[str, ...] = ()
    project: str = ""


@dataclass(frozen=True)
class Route:
    """A route of this machine that no Docker network made."""

    subnet: str
    interface: str


@dataclass(frozen=True)
class Disk:
    """A file system; bytes, and inodes where it counts them (0 where it does not)."""

    path: str
    total: int
    free: int
    inodes: int = 0
    inodes_free: int = 0


@dataclass(frozen=True)
class HostFacts:
    """Everything that the checks want to know of the machine; None and empty where it cannot be seen.

    Args:
        cpus: Of the engine's machine.
        memory: In bytes.
        memory_free: What could be given to new processes now, in bytes.
        disks: The engine's data root first, then OPS_HOME.
        containers: Every container's name with its project.
        paths: Kind of each path that the stack names: `file`, `directory`, `socket`, `missing`, `unknown`.
        dockerfiles: Text of each Dockerfile, by path.
        images: Images of the stack that are here.
    """

    cpus: float | None = None
    memory: int | None = None
    memory_free: int | None = None
    disks: tuple[Disk, ...] = ()
    system: Distribution = field(default_factory=lambda: Distribution(""))
    engine: str = ""
    compose: str = ""
    listeners: tuple[Listener, ...] = ()
    published: tuple[Published, ...] = ()
    networks: tuple[Network, ...] = ()
    routes: tuple[Route, ...] = ()
    volumes: frozenset[str] = frozenset()
    containers: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    dockerfiles: Mapping[str, str] = field(default_factory=dict)
    images: frozenset[str] = frozenset()

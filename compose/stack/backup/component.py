"""What a backup is made of: one component per store, volume or set of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a component holds; each kind has one procedure."""

    POSTGRES = "postgres"
    REDIS = "redis"
    NEO4J = "neo4j"
    CHROMADB = "chromadb"
    QDRANT = "qdrant"
    FAISS = "faiss"
    OLLAMA = "ollama"
    PROMETHEUS = "prometheus"
    GRAFANA = "grafana"
    LOKI = "loki"
    VOLUME = "volume"
    LAYER = "layer"
    CONFIGURATION = "configuration"
    IMAGES = "images"
    PREFECT = "prefect"


class Manner(StrEnum):
    """What a component's services have to bear while it is saved."""

    ONLINE = "online"
    """A snapshot of the store's own, streamed while it runs."""
    STOPPED = "stopped"
    """Stopped, copied to the spool, started, proven ready; only then compressed and uploaded."""
    LIVE = "live"
    """Files read while they may be written: only where the author says so, or where nothing ever changes them."""


@dataclass(frozen=True)
class Place:
    """Where data lies.

    Args:
        kind: `volume`, `anonymous`, `bind` or `layer`.
        source: Volume's name, host path, or container id of a layer.
        target: Path inside the container.
        container: Id of the container that has it; empty for a volume that nobody mounts.
    """

    kind: str
    source: str
    target: str = ""
    container: str = ""
    service: str = ""
    read_only: bool = False


@dataclass(frozen=True)
class Component:
    """One thing that is saved, by one procedure.

    Args:
        name: Unique in a backup, safe in a path: `postgres`, `volume-agent_workspaces`.
        services: Services that write it: those that are stopped where the manner says so.
        places: Its data; the first one is the store's own data directory.
        container: Id of the container that is asked, for stores; empty otherwise.
        why: What told the kind and the manner, for the plan.
        options: What `x-ops.backup` says beyond that.
        data: A store's data directory inside its container, as far as its files tell; empty where they do not.
        without: The online store in its place whose own files another component saves: they are left out.
        leaves: Sources of its places in which another component saves what is not its own.
    """

    name: str
    kind: Kind
    manner: Manner
    services: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    container: str = ""
    image: str = ""
    why: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    data: str = ""
    without: Kind | None = None
    leaves: tuple[str, ...] = ()


@dataclass(frozen=True)
class Waiver:
    """Data that is not saved, by name, with the reason."""

    what: str
    reason: str

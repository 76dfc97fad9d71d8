"""What the engine and the host tell before a backup, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compose.stack.backup.component import Place
from compose.stack.observed import ONE_OFF, Container, parse_container
from compose.stack.preflight.images import Image

ADDED, CHANGED = 1, 0
"""How `docker diff` numbers what happened to a path; 2 is a deletion."""


@dataclass(frozen=True)
class Found:
    """One container with all the places where it may have left data.

    Args:
        mounts: Volumes and bind mounts, as the engine made them.
        memory_paths: Paths inside that lie in memory (tmpfs) and are gone with the container.
        written: Paths of its own layer that it made or changed.
    """

    container: Container
    mounts: tuple[Place, ...] = ()
    memory_paths: tuple[str, ...] = ()
    written: tuple[str, ...] = ()

    @property
    def service(self) -> str:
        """Its service."""
        return self.container.service


@dataclass(frozen=True)
class Bind:
    """A path of the host that containers mount.

    Args:
        kind: `file`, `directory`, `special` (socket, device), `missing`, or `unseen`: the engine has it where we
            cannot look.
        bytes: Of all files in it; counting stops at a limit.
        unread: How much of it could not be looked at.
    """

    kind: str
    bytes: int = 0
    files: int = 0
    unread: int = 0

    @property
    def empty(self) -> bool:
        """Whether it holds nothing for sure, as far as it was looked at from here."""
        return self.kind == "missing" or (self.kind == "directory" and not self.files and not self.unread)


@dataclass(frozen=True)
class Facts:
    """Everything that decides what is saved.

    Args:
        volumes: The project's volumes by name, with their labels.
        binds: Host paths that are mounted, by path.
        images: By service.
        in_memory: Names of volumes that are a file system in memory.
        prefect: Whether this home has a Prefect database of its own.
    """

    found: tuple[Found, ...] = ()
    volumes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    binds: Mapping[str, Bind] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    in_memory: frozenset[str] = frozenset()
    prefect: bool = False

    def of(self, service: str) -> tuple[Found, ...]:
        """The containers of one service."""
        return tuple(one for one in self.found if one.service == service)


def lies_in_memory(volume: Mapping[str, Any]) -> bool:
    """Whether a volume is empty again as soon as no container uses it.

    Args:
        volume: As `docker volume inspect` gives it.
    """
    kind = str((volume.get("Options") or {}).get("type") or "")
    return volume.get("Driver") == "local" and kind in {"tmpfs", "ramfs"}


def parse_found(inspect: Mapping[str, Any], changes: Iterable[Mapping[str, Any]]) -> Found | None:
    """Read one container; None for a one-off run, which is no part of the stack.

    Args:
        inspect: As `docker inspect` gives it.
        changes: As `docker diff` gives them.
    """
    container = parse_container(inspect)
    if container.labels.get(ONE_OFF, "False").lower() == "true":
        return None
    host = inspect.get("HostConfig") or {}
    mounts = tuple(
        _place(mount, container)
        for mount in inspect.get("Mounts") or ()
        if mount.get("Type") in {"volume", "bind"}
    )
    memory = [str(m["Destination"]) for m in inspect.get("Mounts") or () if m.get("Type") == "tmpfs"]
    memory += list(host.get("Tmpfs") or {})
    written = () if host.get("ReadonlyRootfs") else tuple(_written(changes))
    return Found(container, mounts, tuple(memory), written)


def _place(mount: Mapping[str, Any], container: Container) -> Place:
    name = str(mount.get("Name") or "")
    named = mount["Type"] == "volume"
    anonymous = named and len(name) == 64 and all(character in "0123456789abcdef" for character in name)
    return Place(
        kind="anonymous" if anonymous else str(mount["Type"]),
        source=name if named else str(mount.get("Source") or ""),
        target=str(mount["Destination"]),
        container=container.id,
        service=container.service,
        read_only=not mount.get("RW", True),
    )


def _written(changes: Iterable[Mapping[str, Any]]) -> list[str]:
    """Paths that were made or changed, without the directories that only lead to them."""
    kinds = {str(change["Path"]): int(change["Kind"]) for change in changes}
    leading = {path.rsplit("/", 1)[0] for path in kinds}
    kept = [p for p, kind in kinds.items() if kind == ADDED or (kind == CHANGED and p not in leading)]
    return sorted(path for path in kept if path not in leading or kinds[path] == ADDED)

"""What a service, as written, refers to: other services, volumes, networks, secrets, configs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compose.stack.preflight.sources import Part, Written, as_list, truth
from compose.stack.service import SHARED_NAMESPACES


@dataclass(frozen=True)
class Edge:
    """A reference to another service."""

    service: str
    key: str
    where: str
    required: bool = True


@dataclass(frozen=True)
class Use:
    """A reference to something of a top-level section."""

    section: str
    name: str
    key: str
    where: str


def dependencies(service: Written) -> Iterator[Edge]:
    """The services that it cannot do without, and those that it would wait for."""
    for part, value in service.values("depends_on"):
        if isinstance(value, Mapping):
            entries = [(name, name, body) for name, body in value.items()]
        else:
            entries = [(name, str(index), None) for index, name in enumerate(as_list(value))]
        for name, place, body in entries:
            if isinstance(name, str):
                needed = truth(body.get("required", "true")) if isinstance(body, Mapping) else True
                where = part.where("depends_on", place)
                yield Edge(part.source.fill(name), f"depends_on.{name}", where, needed)
    for key in SHARED_NAMESPACES:
        found = service.last(key)
        target = found[0].source.fill(found[1]) if found else ""
        if found and target.startswith("service:"):
            yield Edge(target.removeprefix("service:"), key, found[0].where(key))
    for key in ("links", "volumes_from"):
        for part, value in service.values(key):
            for index, entry in enumerate(as_list(value)):
                name = part.source.fill(entry).split(":")[0]
                if name != "container":
                    yield Edge(name, f"{key}.{index}", part.where(key, str(index)))


def resources(service: Written) -> Iterator[Use]:
    """The volumes, networks, secrets and configs that it uses."""
    for part, value in service.values("volumes"):
        for index, entry in enumerate(as_list(value)):
            name = _volume(part, entry)
            if name:
                key = f"volumes.{index}"
                yield Use("volumes", name, key, part.where("volumes", str(index)))
    if not service.last("network_mode"):
        for part, value in service.values("networks"):
            for name in value if isinstance(value, Mapping) else as_list(value):
                if not isinstance(name, str):
                    continue
                yield Use(
                    "networks", part.source.fill(name), f"networks.{name}", part.where("networks", str(name))
                )
    for section in ("secrets", "configs"):
        for part, value in service.values(section):
            for index, entry in enumerate(as_list(value)):
                source = entry.get("source") if isinstance(entry, Mapping) else entry
                if source:
                    where = part.where(section, str(index))
                    yield Use(section, part.source.fill(source), f"{section}.{index}", where)


def _volume(part: Part, entry: object) -> str:
    """The named volume of one entry, empty for anything else."""
    if isinstance(entry, Mapping):
        wanted = entry.get("type", "volume") == "volume"
        return part.source.fill(entry["source"]) if wanted and entry.get("source") else ""
    source, colon, _ = part.source.fill(entry).partition(":")
    is_path = len(source) < 2 or source[0] in "./~\\" or "/" in source  # one letter is a Windows drive to Compose
    return source if colon and not is_path else ""

"""What a stack's backup consists of: every place with data is saved, or waived by name with a reason."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from compose.stack.backup.component import Component, Kind, Manner, Place, Waiver
from compose.stack.backup.facts import Facts, Found
from compose.stack.backup.layers import layer_component
from compose.stack.backup.naming import told_apart, volume_component_name, volume_key
from compose.stack.backup.store_files import KNOWN
from compose.stack.errors import Refused
from compose.stack.preflight.data_paths import covers, data_paths
from compose.stack.preflight.images import Image
from compose.stack.roles import Role, role_of
from compose.stack.service import Stack

KINDS = {
    Role.POSTGRES: Kind.POSTGRES,
    Role.REDIS: Kind.REDIS,
    Role.NEO4J: Kind.NEO4J,
    Role.CHROMADB: Kind.CHROMADB,
    Role.QDRANT: Kind.QDRANT,
    Role.FAISS: Kind.FAISS,
    Role.OLLAMA: Kind.OLLAMA,
    Role.PROMETHEUS: Kind.PROMETHEUS,
    Role.GRAFANA: Kind.GRAFANA,
    Role.LOKI: Kind.LOKI,
}
ONLINE = {Kind.POSTGRES, Kind.REDIS, Kind.QDRANT, Kind.OLLAMA, Kind.PREFECT}
FALLBACK_DATA = {Kind.FAISS: ("/data",)}
HOSTS_OWN = ("/proc", "/sys", "/dev", "/run", "/var/run", "/etc/localtime", "/etc/timezone", "/lib/modules")
IN_MEMORY = "it lies in memory (tmpfs): nothing of it outlives a stop of its services"
BIGGEST_CONFIGURATION = 64 * 1024 * 1024


@dataclass(frozen=True)
class Inventory:
    """What will be saved, what is waived, and what stands against a backup.

    Args:
        problems: Data that nobody said what to do with; each fails the backup.
    """

    components: tuple[Component, ...] = ()
    waived: tuple[Waiver, ...] = ()
    problems: tuple[str, ...] = ()

    def named(self, name: str) -> Component:
        """One component.

        Raises:
            Refused: There is none of this name.
        """
        for component in self.components:
            if component.name == name:
                return component
        known = ", ".join(component.name for component in self.components)
        raise Refused("no such component", where=name, next=f"one of: {known}")


def take_inventory(stack: Stack, facts: Facts) -> Inventory:
    """Decide for every place with data how it is saved.

    Args:
        stack: The services as their files say, with `x-ops.backup`.
        facts: What is really there.
    """
    if not facts.found and not facts.volumes:
        return Inventory(problems=(f"nothing of {stack.project} is on this engine: no container and no volume",))
    waived = _waivers(stack, facts)
    gone = {waiver.what for waiver in waived}
    stores, problems = _stores(stack, facts)
    claimed = {(place.kind, place.source) for store in stores for place in store.places}
    shared = [beside for store in stores for beside in _beside(stack, facts, store, gone)]
    left = {(beside.container, beside.places[0].source) for beside in shared}
    stores = [
        replace(store, leaves=tuple(p.source for p in store.places if (store.container, p.source) in left))
        for store in stores
    ]
    volumes = [
        _volume(stack, facts, places)
        for (kind, source), places in _shared_places(facts).items()
        if (kind, source) not in claimed
        and _what(kind, source, stack) not in gone
        and not _is_configuration(facts, places)
    ]
    layers = [made for found in facts.found if (made := layer_component(stack, found))]
    fixed = [
        Component(
            "configuration", Kind.CONFIGURATION, Manner.LIVE, why="files, settings and secrets of the stack"
        ),
        Component("images", Kind.IMAGES, Manner.LIVE, why="images that no registry gives again by digest"),
    ]
    if facts.prefect:
        fixed.append(Component("prefect", Kind.PREFECT, Manner.ONLINE, why="the Prefect server's own database"))
    named = told_apart((*stores, *shared, *volumes, *layers, *fixed))
    return Inventory(named, tuple(waived), tuple(problems))


def on_a_mount(found: Found, path: str) -> bool:
    """Whether a path inside a container lies on a volume or bind mount, and so outlives the container."""
    return any(covers(mount.target, posixpath.normpath(path)) for mount in found.mounts)


def _stores(stack: Stack, facts: Facts) -> tuple[list[Component], list[str]]:
    made: list[Component] = []
    problems: list[str] = []
    for name, service in stack.services.items():
        kind = KINDS.get(role_of(service))
        hint = service.hints.backup
        if kind is None or hint.kind == Kind.VOLUME:
            continue
        for found in facts.of(name)[:1]:
            paths = data_paths(service, facts.images.get(name) or Image(service.image)) or FALLBACK_DATA.get(
                kind, ()
            )
            places = tuple(m for m in found.mounts if any(covers(m.target, path) for path in paths))
            if paths and not places:
                where = " or ".join(paths)
                problems.append(
                    f"{name}: its data path {where} lies on no volume: it would be lost with the container"
                )
                continue
            if places and _waived_as(stack, name, places[0]):
                continue
            manner, why = _manner(kind, service.command, hint.live)
            stops = _writers_of(facts, places) if manner is not Manner.ONLINE else ()
            made.append(
                Component(
                    name, kind, manner, stops or (name,), places, found.container.id,
                    found.container.image, f"its image looks like {role_of(service)}; {why}",
                    hint.model_dump(exclude_none=True, exclude={"waive"}),
                    next((path for path in paths if places and covers(places[0].target, path)), ""),
                )
            )  # fmt: skip
    return made, problems


def _waived_as(stack: Stack, name: str, place: Place) -> bool:
    """Whether a store's place is waived by the file or by the store: not by another service that mounts it."""
    return (
        _what(place.kind, place.source, stack) in stack.hints.backup.waive
        or place.target in stack[name].hints.backup.waive
    )


def _beside(stack: Stack, facts: Facts, store: Component, gone: set[str]) -> list[Component]:
    """What other services write into an online store's places: components of their own, without the store's."""
    made = []
    for place in store.places if store.manner is Manner.ONLINE and store.kind in KNOWN else ():
        others = tuple(name for name in _writers_of(facts, [place]) if name != store.name)
        if not others or _what(place.kind, place.source, stack) in gone:
            continue
        live = all(stack[name].hints.backup.live for name in others if name in stack.services)
        why = f"{', '.join(others)} writes it too: what is not {store.name}'s own"
        made.append(
            Component(
                volume_component_name(place, stack), Kind.VOLUME, Manner.LIVE if live else Manner.STOPPED, others,
                (place,), store.container, store.image, why, store.options, without=store.kind,
            )
        )  # fmt: skip
    return made


def _manner(kind: Kind, command: Sequence[str], live: bool | None) -> tuple[Manner, str]:
    if kind is Kind.PROMETHEUS:
        if any(word.startswith("--web.enable-admin-api") for word in command):
            return Manner.ONLINE, "its admin interface makes snapshots"
        return Manner.STOPPED, "without --web.enable-admin-api it makes no snapshot"
    if kind in ONLINE:
        return Manner.ONLINE, "saved while it runs"
    if live:
        return Manner.LIVE, "x-ops says that it may be read while it runs"
    return Manner.STOPPED, "no copy of its files is safe while it runs"


def _shared_places(facts: Facts) -> dict[tuple[str, str], list[Place]]:
    """Every volume and bind mount once, with all who mount it; the project's unmounted volumes too."""
    shared: dict[tuple[str, str], list[Place]] = {}
    for found in facts.found:
        for place in found.mounts:
            shared.setdefault((place.kind, place.source), []).append(place)
    for name in facts.volumes:
        if not any((kind, name) in shared for kind in ("volume", "anonymous")):
            shared[("volume", name)] = [Place("volume", name)]
    return shared


def _volume(stack: Stack, facts: Facts, places: Sequence[Place]) -> Component:
    writers = _writers_of(facts, places)
    hints = [stack[name].hints.backup for name in writers if name in stack.services]
    live = bool(hints) and all(hint.live for hint in hints)
    options = {
        key: value for hint in hints for key, value in hint.model_dump(exclude_none=True).items() if key != "waive"
    }
    manner, why = Manner.STOPPED, f"written by {', '.join(writers)}: stopped while it is copied"
    if not writers:
        manner, why = Manner.LIVE, "nobody writes it"
    elif live:
        manner, why = Manner.LIVE, "x-ops says that it may be read while it is written"
    first = places[0]
    name = volume_component_name(first, stack)
    return Component(name, Kind.VOLUME, manner, writers, tuple(places), "", "", why, options)


def _writers_of(facts: Facts, places: Iterable[Place]) -> tuple[str, ...]:
    """The services that mount any of these places for writing, in the stack's order."""
    wanted = {(place.kind, place.source) for place in places}
    mounts = [mount for found in facts.found for mount in found.mounts if not mount.read_only]
    return tuple(dict.fromkeys(mount.service for mount in mounts if (mount.kind, mount.source) in wanted))


def _is_configuration(facts: Facts, places: Sequence[Place]) -> bool:
    """True for a bind mount that no service may write and that is small, or that holds nothing for sure."""
    if places[0].kind != "bind":
        return False
    bind = facts.binds.get(places[0].source)
    if bind is None or bind.kind == "unseen" or bind.unread:
        return False
    return bind.empty or (bind.bytes <= BIGGEST_CONFIGURATION and all(place.read_only for place in places))


def configuration_binds(stack: Stack, facts: Facts) -> tuple[str, ...]:
    """Host paths of bind mounts that are saved as configuration."""
    waived = {waiver.what for waiver in _waivers(stack, facts)}
    return tuple(
        source
        for (kind, source), places in _shared_places(facts).items()
        if kind == "bind" and source not in waived and _is_configuration(facts, places)
    )


def data_binds(stack: Stack, facts: Facts) -> tuple[str, ...]:
    """Host paths of bind mounts that are no configuration: saved as data, or waived; the host's own apart."""
    waived = {waiver.what for waiver in _waivers(stack, facts)}
    return tuple(
        source
        for (kind, source), places in _shared_places(facts).items()
        if kind == "bind"
        and not _hosts_own(facts, source)
        and (source in waived or not _is_configuration(facts, places))
    )


def _waivers(stack: Stack, facts: Facts) -> list[Waiver]:
    found: dict[str, Waiver] = {}
    for key, reason in stack.hints.backup.waive.items():
        found.setdefault(key, Waiver(key, reason))
    for one in facts.found:
        hint = stack[one.service].hints.backup if one.service in stack.services else None
        for place in one.mounts:
            what = _what(place.kind, place.source, stack)
            if hint and place.target in hint.waive:
                found.setdefault(what, Waiver(what, hint.waive[place.target]))
            elif place.kind == "bind" and _hosts_own(facts, place.source):
                found.setdefault(what, Waiver(what, "the host's own, no data of this stack"))
            elif place.source in facts.in_memory:
                found.setdefault(what, Waiver(what, IN_MEMORY))
        if hint and "layer" in hint.waive and one.written:
            found.setdefault(f"layer of {one.service}", Waiver(f"layer of {one.service}", hint.waive["layer"]))
    for name in facts.in_memory & set(facts.volumes):
        found.setdefault(_what("volume", name, stack), Waiver(_what("volume", name, stack), IN_MEMORY))
    return list(found.values())


def _hosts_own(facts: Facts, source: str) -> bool:
    bind = facts.binds.get(source)
    if bind is not None and bind.kind == "special":
        return True
    return is_hosts_own(source)


def is_hosts_own(source: str) -> bool:
    """Whether a path belongs to the host itself, whatever is there."""
    return source == "/" or any(covers(place, source) for place in HOSTS_OWN)


def _what(kind: str, source: str, stack: Stack) -> str:
    """How a place is called in waivers: a volume by its key in the file, all else by itself."""
    return volume_key(source, stack) if kind == "volume" else source

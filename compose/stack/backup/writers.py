"""Who stands still at a consistency point: everything that writes to the stores and is no store itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from compose.stack.backup.component import Component, Kind
from compose.stack.graph import graph_of
from compose.stack.service import Stack

NO_STORES = {Kind.VOLUME, Kind.LAYER, Kind.CONFIGURATION, Kind.IMAGES, Kind.PREFECT}


def writers(stack: Stack, components: Iterable[Component]) -> tuple[str, ...]:
    """The services to stop for one moment that all stores share, in the file's order.

    Everything that transitively depends on a chosen store and is no store itself; `x-ops.backup.writer`
    takes a service out or in. A service that has a volume and depends on nobody else with data is a store too,
    whatever it is: a database that is not recognised, say.

    Args:
        components: What the backup saves.
    """
    components = tuple(components)
    chosen = [component for component in components if component.kind not in NO_STORES]
    stores = {name for component in chosen for name in component.services}
    graph = graph_of(stack)
    kept = {name for component in components if component.kind is Kind.VOLUME for name in component.services}
    stores |= {name for name in kept if name not in _above(graph, (stores | kept) - {name})}
    reached = _above(graph, stores)
    told = {name: service.hints.backup.writer for name, service in stack.services.items()}
    return tuple(
        name
        for name in stack.services
        if told[name] or (told[name] is None and name in reached and name not in stores)
    )


def _above(graph: Mapping[str, Collection[str]], below: Collection[str]) -> set[str]:
    """All that transitively depend on some services; those themselves only where they do too."""
    found: set[str] = set()
    while True:
        known = found | set(below)
        more = {name for name, needs in graph.items() if known & set(needs)} - found
        if not more:
            return found
        found |= more

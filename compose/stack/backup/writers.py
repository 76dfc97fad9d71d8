"""Who stands still at a consistency point: everything that writes to the stores and is no store itself."""

from __future__ import annotations

from collections.abc import Iterable

from compose.stack.backup.component import Component, Kind
from compose.stack.graph import graph_of
from compose.stack.service import Stack

NO_STORES = {Kind.VOLUME, Kind.LAYER, Kind.CONFIGURATION, Kind.IMAGES, Kind.PREFECT}


def writers(stack: Stack, components: Iterable[Component]) -> tuple[str, ...]:
    """The services to stop for one moment that all stores share, in the file's order.

    Everything that transitively depends on a chosen store and is no store itself; `x-ops.backup.writer`
    takes a service out or in.

    Args:
        components: What the backup saves.
    """
    chosen = [component for component in components if component.kind not in NO_STORES]
    stores = {name for component in chosen for name in component.services}
    graph = graph_of(stack)
    reached = set(stores)
    while True:
        more = {name for name, needs in graph.items() if needs & reached} - reached
        if not more:
            break
        reached |= more
    told = {name: service.hints.backup.writer for name, service in stack.services.items()}
    return tuple(
        name
        for name in stack.services
        if told[name] or (told[name] is None and name in reached and name not in stores)
    )

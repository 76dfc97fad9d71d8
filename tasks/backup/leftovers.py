"""Snapshots that a dead backup left in stores: removed before the next one begins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from blocks.backup.snapshot_notes import SnapshotNotes
from blocks.engine import Engine
from blocks.stores.prometheus import prometheus
from blocks.stores.qdrant import Snapshot, qdrant
from compose.stack.backup.component import Component, Kind, Manner
from compose.stack.errors import OpsError
from tasks.work import Work

log = logging.getLogger("ops.backup")
Words = tuple[str, ...]


def sweep_snapshots(work: Work, components: Iterable[Component]) -> None:
    """Remove what is noted; what cannot be removed now stays noted, and is named in the log.

    Only one backup of a stack runs at a time: whoever made these is dead.
    """
    notes, there = SnapshotNotes(work.state), {component.name: component for component in components}
    for name, snapshots in notes.read().items():
        component = there.get(name)
        remove = _REMOVE.get(component.kind) if component and component.manner is Manner.ONLINE else None
        if component is None or remove is None:
            log.warning("%s: a dead backup left %d snapshots in it, and it is not here", name, len(snapshots))
            continue
        left = [words for words in snapshots if not _removed(remove, work.engine, component, words)]
        notes.write(name, left)


def _removed(
    remove: Callable[[Engine, Component, Words], None], engine: Engine, component: Component, words: Words
) -> bool:
    said = " of ".join(reversed(words))
    try:
        remove(engine, component, words)
    except OpsError as error:
        log.warning("%s: snapshot %s of a dead backup stays: %s", component.name, said, error)
        return False
    log.info("%s: removed snapshot %s that a dead backup left", component.name, said)
    return True


def _prometheus(engine: Engine, component: Component, words: Words) -> None:
    (name,) = words
    prometheus(engine, component.container, component.options).delete(name)


def _qdrant(engine: Engine, component: Component, words: Words) -> None:
    collection, name = words
    server = qdrant(engine, component.container, component.options)
    if collection in server.collections() and name in server.snapshots(collection):
        server.delete(Snapshot(collection, name, 0, ""))


_REMOVE: Mapping[Kind, Callable[[Engine, Component, Words], None]] = {
    Kind.PROMETHEUS: _prometheus,
    Kind.QDRANT: _qdrant,
}

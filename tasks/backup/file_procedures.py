"""Procedures of stores and volumes that are saved as files: archived, pooled, or dumped while they stand still."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from functools import partial

from compose.stack.backup.component import Kind, Manner
from compose.stack.errors import Failed
from tasks.backup import looks
from tasks.backup.archives import ArchiveProcedure
from tasks.backup.neo4j import Neo4jProcedure
from tasks.backup.ollama import OllamaProcedure
from tasks.backup.pooled import PooledProcedure, wants_pool
from tasks.backup.procedure import Procedure, Saving
from tasks.backup.rest import RestProcedure


def volume(saving: Saving) -> Procedure:
    """Any directory: file by file into the pool when it is big, or told so; else an archive."""
    if saving.component.without:
        return RestProcedure(saving)
    return PooledProcedure(saving) if wants_pool(saving) else ArchiveProcedure(saving)


def neo4j(saving: Saving) -> Procedure:
    """Its own tool dumps it while it is stopped."""
    if saving.component.manner is Manner.LIVE:
        what = "no copy of a running Neo4j is one: x-ops.backup.live does not fit it"
        raise Failed(what, where=saving.component.name, next="take live away, or kind: volume")
    return Neo4jProcedure(saving)


def chroma(saving: Saving) -> Procedure:
    """Its files; counted in the database that the server uses."""
    component = saving.component
    place = component.places[0].target if component.places else ""
    below = posixpath.relpath(component.data, place) if component.data and place else "."
    return ArchiveProcedure(saving, partial(looks.chroma, below=below))


def _archived(look: looks.Look) -> Callable[[Saving], Procedure]:
    return lambda saving: ArchiveProcedure(saving, look)


FILES: dict[Kind, Callable[[Saving], Procedure]] = {
    Kind.NEO4J: neo4j,
    Kind.CHROMADB: chroma,
    Kind.FAISS: _archived(looks.faiss),
    Kind.OLLAMA: OllamaProcedure,
    Kind.GRAFANA: _archived(looks.grafana),
    Kind.LOKI: _archived(looks.loki),
    Kind.VOLUME: volume,
    Kind.LAYER: ArchiveProcedure,
}
PROMETHEUS_FILES = _archived(looks.prometheus)
"""Prometheus without its admin interface, stopped."""

"""Which procedure saves which kind of component."""

from __future__ import annotations

from collections.abc import Callable

from compose.stack.backup.component import Kind, Manner
from compose.stack.errors import Failed
from tasks.backup.configuration import ConfigurationProcedure
from tasks.backup.file_procedures import FILES, PROMETHEUS_FILES
from tasks.backup.images import ImagesProcedure
from tasks.backup.postgres import PostgresProcedure
from tasks.backup.prefect_database import PrefectProcedure
from tasks.backup.procedure import Procedure, Saving
from tasks.backup.prometheus import PrometheusProcedure
from tasks.backup.qdrant import QdrantProcedure
from tasks.backup.redis import RedisProcedure


def _prometheus(saving: Saving) -> Procedure:
    """A snapshot of its own where it can make one; else it is stopped and archived."""
    online = saving.component.manner is Manner.ONLINE
    return PrometheusProcedure(saving) if online else PROMETHEUS_FILES(saving)


TABLE: dict[Kind, Callable[[Saving], Procedure]] = {
    **FILES,
    Kind.POSTGRES: PostgresProcedure,
    Kind.REDIS: RedisProcedure,
    Kind.QDRANT: QdrantProcedure,
    Kind.PROMETHEUS: _prometheus,
    Kind.CONFIGURATION: ConfigurationProcedure,
    Kind.IMAGES: ImagesProcedure,
    Kind.PREFECT: PrefectProcedure,
}


def procedure_for(saving: Saving) -> Procedure:
    """The procedure of a component.

    Raises:
        Failed: There is none for its kind and manner.
    """
    component = saving.component
    made = TABLE.get(component.kind)
    if made is None:
        raise Failed(f"no procedure saves a {component.kind} {component.manner}", where=component.name)
    return made(saving)

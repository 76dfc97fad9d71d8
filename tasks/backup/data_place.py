"""What a store itself says of where its data lies: on a mount, or the backup fails."""

from __future__ import annotations

from collections.abc import Iterable

from compose.stack.backup.component import Place
from compose.stack.errors import Failed
from compose.stack.preflight.data_paths import covers
from tasks.backup.procedure import Saving


def places_with(saving: Saving, mounts: Iterable[Place], path: str) -> tuple[Place, ...]:
    """A component's places, and the mount that really has the store's data where the files did not tell.

    A component without places (a store that was asked for by name alone) is not judged.

    Args:
        mounts: All of the store's container.
        path: Where it keeps its data, as the running store reports it.

    Raises:
        Failed: It lies on no volume and no bind mount: it would be lost with the container.
    """
    component = saving.component
    if not component.places or any(covers(place.target, path) for place in component.places):
        return component.places
    others = [place for place in mounts if covers(place.target, path)]
    if not others:
        mounted = ", ".join(place.target for place in mounts)
        raise Failed(
            f"keeps its data in {path}, on no volume (mounted: {mounted}): it would be lost with the container",
            where=component.name,
            next=f"mount a volume on {path}",
        )
    return (*component.places, max(others, key=lambda place: len(place.target)))

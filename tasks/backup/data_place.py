"""What a store itself says of where its data lies: on a mount, or the backup fails."""

from __future__ import annotations

from compose.stack.errors import Failed
from compose.stack.preflight.data_paths import covers
from tasks.backup.procedure import Saving


def require_on_a_mount(saving: Saving, path: str) -> None:
    """See that a store's own data path outlives its container.

    A component without places (a store that was asked for by name alone) is not judged.

    Args:
        path: As the running store reports it.

    Raises:
        Failed: It lies on no volume and no bind mount of the store.
    """
    component = saving.component
    if component.places and not any(covers(place.target, path) for place in component.places):
        mounted = ", ".join(place.target for place in component.places)
        raise Failed(
            f"keeps its data in {path}, on no volume (mounted: {mounted}): it would be lost with the container",
            where=component.name,
            next=f"mount a volume on {path}",
        )

"""Which components wait for which: nobody is stopped while its own snapshot is read."""

from __future__ import annotations

from collections.abc import Sequence

from compose.stack.backup.component import Component, Manner


def waits_for(component: Component, components: Sequence[Component]) -> tuple[str, ...]:
    """The components that stop a service which this one reads while it runs: they come first.

    A database may have data in a second volume, or in its container's own layer: those are copied while it stands
    still, and that would end its dump.
    """
    if component.manner is Manner.STOPPED:
        return ()
    mine = set(component.services)
    return tuple(one.name for one in components if one.manner is Manner.STOPPED and mine & set(one.services))


def rounds(components: Sequence[Component]) -> tuple[tuple[Component, ...], ...]:
    """The components in the fewest rounds, of which each needs only those before it."""
    awaited = {name for component in components for name in waits_for(component, components)}
    first = tuple(component for component in components if component.name in awaited)
    then = tuple(component for component in components if component.name not in awaited)
    return tuple(one for one in (first, then) if one)

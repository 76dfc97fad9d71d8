"""What containers wrote outside of every volume: lost when they are recreated, so saved, or waived by name."""

from __future__ import annotations

from collections.abc import Iterable

from compose.stack.backup.component import Component, Kind, Manner, Place
from compose.stack.backup.facts import Found
from compose.stack.backup.naming import layer_component_name
from compose.stack.preflight.data_paths import covers
from compose.stack.service import Stack

PASSING = (
    "/tmp", "/run", "/var/run", "/var/tmp", "/var/cache", "/var/lock", "/dev", "/proc", "/sys", "/root/.cache",
    "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab", "/.dockerenv",
)  # fmt: skip
"""What programs make anew at every start."""

PASSING_NAMES = ("/__pycache__", ".pyc", ".pid", "/.cache")


def lasting(found: Found) -> tuple[str, ...]:
    """The written paths that somebody could miss, without those that lie in another one."""
    inside = [mount.target for mount in found.mounts] + list(found.memory_paths)
    return topmost(path for path in found.written if not _passing(path, inside))


def topmost(paths: Iterable[str]) -> tuple[str, ...]:
    """Paths, in order, without those that lie below another of them."""
    kept: list[str] = []
    for path in sorted(paths, key=lambda path: path.split("/")):
        if not (kept and covers(kept[-1], path)):
            kept.append(path)
    return tuple(kept)


def _passing(path: str, mounted: list[str]) -> bool:
    if any(covers(place, path) for place in PASSING) or path.endswith(PASSING_NAMES) or "/__pycache__/" in path:
        return True
    return any(covers(target, path) or covers(path, target) for target in mounted)


def layer_component(stack: Stack, found: Found) -> Component | None:
    """The component for what one container wrote into its own layer; None when nothing lasting, or waived."""
    hint = stack[found.service].hints.backup if found.service in stack.services else None
    paths = lasting(found)
    if not paths or (hint and "layer" in hint.waive):
        return None
    quiet = not found.container.running or bool(hint and hint.live)
    why = f"{len(paths)} paths written outside of every volume, such as {paths[0]}"
    return Component(
        name=layer_component_name(found.service, found.container.number),
        kind=Kind.LAYER,
        manner=Manner.LIVE if quiet else Manner.STOPPED,
        services=(found.service,),
        places=tuple(
            Place("layer", found.container.id, path, found.container.id, found.service) for path in paths
        ),
        container=found.container.id,
        image=found.container.image,
        why=why,
        options=hint.model_dump(exclude_none=True, exclude={"waive"}) if hint else {},
    )

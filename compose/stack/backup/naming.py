"""What components are called: names that a person recognises and that are safe in a path."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from compose.stack.backup.component import Component, Kind, Place
from compose.stack.backup.manifest import MANIFEST, RUNBOOK, SIGNATURE
from compose.stack.service import Stack

KEPT = {MANIFEST, SIGNATURE, RUNBOOK, "records"}
"""What a backup's directory has beside its components."""
FIXED = {Kind.CONFIGURATION, Kind.IMAGES, Kind.PREFECT}
"""Components that every stack has, under names of their own."""


def volume_key(name: str, stack: Stack) -> str:
    """A volume's key in the compose file; its own name where the file does not have it."""
    for key, body in stack.section("volumes").items():
        if name == str(body.get("name") or f"{stack.project}_{key}"):
            return key
    return name


def volume_component_name(place: Place, stack: Stack) -> str:
    """`volume-agent_outputs`, `anonymous-db-var-lib-x`, `bind-srv-data`."""
    if place.kind == "anonymous":
        return safe(f"anonymous-{place.service}-{place.target.strip('/')}")
    if place.kind == "bind":
        return safe(f"bind-{place.source.strip('/')}")
    return safe(f"volume-{volume_key(place.source, stack)}")


def layer_component_name(service: str, number: int) -> str:
    """`layer-web-1`."""
    return safe(f"layer-{service}-{number}")


def told_apart(components: Sequence[Component]) -> tuple[Component, ...]:
    """The components, each with a name that no other has and that is safe in a path.

    Where several would have one name (`/srv/data/x` and `/srv/data-x`, the anonymous volumes of two replicas, a
    store called `images`), each gets digits that stand for what it is: the same data is called the same in every
    backup.
    """
    plain = [component.name if component.kind in FIXED else safe(component.name) for component in components]
    often = Counter([*plain, *KEPT])
    return tuple(
        component
        if name == component.name and (often[name] == 1 or component.kind in FIXED)
        else replace(component, name=name if often[name] == 1 else f"{name}-{_digits(component)}")
        for name, component in zip(plain, components, strict=True)
    )


def _digits(component: Component) -> str:
    """Eight digits for what a component is: its service, and its places."""
    what = [component.name, *component.services]
    what += [word for place in component.places for word in (place.kind, place.source, place.target)]
    return hashlib.sha256("\0".join(what).encode("utf-8", "surrogateescape")).hexdigest()[:8]


def safe(name: str) -> str:
    """Only letters, digits, dots, dashes and underscores, beginning with a letter or digit."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", posixpath.normpath(name)).strip("-.").lstrip("_-.")
    return plain[:120] or "unnamed"

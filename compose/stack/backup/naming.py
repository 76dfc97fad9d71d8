"""What components are called: names that a person recognises and that are safe in a path."""

from __future__ import annotations

import posixpath
import re

from compose.stack.backup.component import Place
from compose.stack.service import Stack


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


def safe(name: str) -> str:
    """Only letters, digits, dots, dashes and underscores, beginning with a letter or digit."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", posixpath.normpath(name)).strip("-.")
    return plain[:120] or "unnamed"

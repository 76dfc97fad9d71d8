"""Where each image comes from, and the overlay that replaces those no registry gives."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import yaml

from compose.stack.request import ImagePolicy
from compose.stack.service import Stack


class Source(StrEnum):
    """How an image that is not here is got."""

    PULL = "pull"
    BUILD = "build"


def sources(stack: Stack, wanted: Mapping[str, str], policy: ImagePolicy) -> dict[str, Source]:
    """How to get each image: the project's own builds are built, everything else is pulled.

    Args:
        stack: The stack.
        wanted: Images to get, by service.
        policy: Where images may come from.
    """
    built = builders(stack)
    return {image: Source.BUILD if image in built else Source.PULL for image in wanted.values()}


def builders(stack: Stack) -> dict[str, str]:
    """For each image that the project builds the (first) service that tells how; others may use the image too."""
    found: dict[str, str] = {}
    for name, service in stack.services.items():
        if service.builds:
            found.setdefault(service.image, name)
    return found


def registry_of(reference: str) -> str:
    """The registry that a reference names, or `the default registry`."""
    first, slash, _ = reference.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "the default registry"


def offline_overlay(recipes: Mapping[str, Any], stack: Stack, chosen: frozenset[str], directory: str) -> str:
    """The part of a recipe overlay that a stack needs, as a compose file.

    Args:
        recipes: The whole overlay, parsed.
        stack: The stack that it goes over.
        chosen: Services whose image no registry gives.
        directory: Where the overlay's relative paths start.
    """
    all_services: Mapping[str, Any] = recipes.get("services") or {}
    kept = {}
    for name, body in all_services.items():
        known = stack.services.get(name)
        if name in chosen or known is None or (known.builds and known.raw.get("image")):
            kept[name] = _absolute(body, directory)
    rest = {key: _absolute(value, directory) for key, value in recipes.items() if key != "services"}
    return str(yaml.safe_dump({"x-offline": sorted(chosen), "services": kept, **rest}, sort_keys=False))


def _absolute(value: Any, directory: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _absolute(item, directory) for key, item in value.items()}
    if isinstance(value, list):
        return [_absolute(item, directory) for item in value]
    if isinstance(value, str) and (value.startswith(("./", "../"))):
        return f"{directory}/{value}"
    return value

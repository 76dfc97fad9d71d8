"""YAML as Compose writes and reads it."""

from __future__ import annotations

from typing import Any, ClassVar

import yaml

VALUE = "tag:yaml.org,2002:value"


class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Takes a lone `=` for text: to YAML 1.1 it is a tag of its own, which nothing can construct."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, Any]]]] = {
        first: [(tag, form) for tag, form in resolvers if tag != VALUE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def load(text: str) -> Any:
    """The content of one document."""
    return yaml.load(text, Loader=Loader)

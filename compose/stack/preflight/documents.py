"""A compose file as its author wrote it: values with the lines they stand on, before Compose reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from compose.stack.yaml_text import Loader

Key = tuple[str, ...]
_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class Document:
    """One YAML document.

    Args:
        path: The file.
        tree: Its content; scalars are the author's text, None for null.
        lines: Line of each key, counted from 1.
        tags: Keys that carry Compose's `!reset` or `!override`.
        problems: Line and problem of what Compose would not read.
    """

    path: str
    tree: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Key, int] = field(default_factory=dict)
    tags: Mapping[Key, str] = field(default_factory=dict)
    problems: tuple[tuple[int, str], ...] = ()

    def where(self, *key: str) -> str:
        """File and line of a key, or of the nearest one above it."""
        name = self.path.rsplit("/", 1)[-1]
        for length in range(len(key), 0, -1):
            if key[:length] in self.lines:
                return f"{name}:{self.lines[key[:length]]}"
        return name

    def section(self, name: str) -> Mapping[str, Any]:
        """A top-level mapping, empty where there is none."""
        value = self.tree.get(name)
        return value if isinstance(value, Mapping) else {}


def read(path: str, text: str) -> tuple[Document, ...]:
    """The documents of a file; a broken one is a document with its problem."""
    try:
        nodes = list(yaml.compose_all(text, Loader=Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        context = f" ({error.context})" if error.context else ""
        return (Document(path, problems=((line, f"{error.problem or 'not valid YAML'}{context}"),)),)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        return (Document(path, problems=((1, str(error).splitlines()[0] if str(error) else "not readable"),)),)
    return tuple(_document(path, node) for node in nodes if node is not None)


def _document(path: str, node: yaml.Node) -> Document:
    if not isinstance(node, yaml.MappingNode):
        return Document(path, problems=((node.start_mark.line + 1, "the top level has to be a mapping"),))
    reader = _Reader()
    tree = reader.value(node, ())
    return Document(path, tree, reader.lines, reader.tags, tuple(reader.problems))


class _Reader:
    """Turns nodes into values; an alias is the very value of its anchor."""

    def __init__(self) -> None:
        self.lines: dict[Key, int] = {}
        self.tags: dict[Key, str] = {}
        self.problems: list[tuple[int, str]] = []
        self._known: dict[int, Any] = {}

    def value(self, node: yaml.Node, at: Key) -> Any:
        """A node's value."""
        if node.tag in ("!reset", "!override"):
            self.tags[at] = node.tag
        if node.tag == "!reset":
            return None
        if isinstance(node, yaml.ScalarNode):
            return None if node.tag == _NULL else str(node.value)
        if id(node) in self._known:
            return self._known[id(node)]
        if isinstance(node, yaml.SequenceNode):
            items: list[Any] = []
            self._known[id(node)] = items
            for index, item in enumerate(node.value):
                self.lines[(*at, str(index))] = item.start_mark.line + 1
                items.append(self.value(item, (*at, str(index))))
            return items
        return self._mapping(node, at)

    def _mapping(self, node: yaml.Node, at: Key) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._known[id(node)] = found
        merged: list[Any] = []
        for key, item in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if key.tag == _MERGE:
                merged.append(self.value(item, at))
                continue
            if name in found:
                self.problems.append((line, f"{'.'.join((*at, name))} is defined twice"))
            self.lines[(*at, name)] = line
            found[name] = self.value(item, (*at, name))
        for extra in (entry for one in merged for entry in (one if isinstance(one, list) else [one])):
            if isinstance(extra, Mapping):
                for name, item in extra.items():
                    found.setdefault(name, item)
        return found


def texts(value: Any, at: Key = ()) -> Iterator[tuple[Key, str]]:
    """Every text inside a value with its key; a value that is repeated by aliases comes once."""
    seen: set[int] = set()
    todo: list[tuple[Key, Any]] = [(at, value)]
    while todo:
        key, item = todo.pop()
        if isinstance(item, str):
            yield key, item
        elif isinstance(item, (Mapping, list)) and id(item) not in seen:
            seen.add(id(item))
            pairs = item.items() if isinstance(item, Mapping) else enumerate(item)
            todo.extend(reversed([((*key, str(name)), inner) for name, inner in pairs]))

"""The files that a compose project is written in, and what each of them refers to."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from compose.stack.preflight.documents import Document
from compose.stack.preflight.variables import expand


@dataclass(frozen=True)
class Source:
    """One document of the project.

    Args:
        directory: What its relative paths start from.
        environment: The variables that it is read with.
    """

    document: Document
    directory: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def fill(self, text: object) -> str:
        """A text with its variables filled in."""
        return expand(str(text), self.environment)

    def path(self, text: object) -> str:
        """A path of this document, absolute."""
        return posixpath.normpath(posixpath.join(self.directory, self.fill(text)))


@dataclass(frozen=True)
class Unread:
    """A file that could not be read."""

    path: str
    why: str
    named_by: str = ""


@dataclass(frozen=True)
class Sources:
    """A project's documents.

    Args:
        documents: The project's own and included ones, in order.
        extended: Those that are only extended, by path.
        unread: Files that are missing.
        bad_env: Env files whose text is broken, with the reason.
        paths: Kind of each path that was looked at: `file`, `directory`, `missing`, ….
        profiles: The active ones.
    """

    documents: tuple[Source, ...] = ()
    extended: Mapping[str, tuple[Source, ...]] = field(default_factory=dict)
    unread: tuple[Unread, ...] = ()
    bad_env: Mapping[str, str] = field(default_factory=dict)
    paths: Mapping[str, str] = field(default_factory=dict)
    profiles: frozenset[str] = frozenset()

    @property
    def own(self) -> bool:
        """True when the author says that it is one of our own stacks."""
        hints = [source.document.section("x-ops").get("own") for source in self.documents]
        return any(str(value).lower() == "true" for value in hints)

    def declared(self, section: str) -> set[str]:
        """Everything that a top-level section declares."""
        return {name for source in self.documents for name in source.document.section(section)}


@dataclass(frozen=True)
class Include:
    """One entry of `include`."""

    paths: tuple[str, ...]
    directory: str
    env_files: tuple[str, ...]
    where: str


def includes(source: Source) -> Iterator[Include]:
    """The files that a document includes."""
    entries = source.document.tree.get("include")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        body = entry if isinstance(entry, Mapping) else {"path": entry}
        paths = tuple(source.path(path) for path in as_list(body.get("path")))
        if not paths:
            continue
        given = body.get("project_directory")
        directory = source.path(given) if given else posixpath.dirname(paths[0])
        env_files = tuple(source.path(path) for path in as_list(body.get("env_file")))
        yield Include(paths, directory, env_files, source.document.where("include", str(index)))


def extended_files(source: Source) -> Iterator[tuple[str, str]]:
    """The files that a document's services extend, each with the place that names it."""
    for name, body in source.document.section("services").items():
        link = body.get("extends") if isinstance(body, Mapping) else None
        if isinstance(link, Mapping) and link.get("file"):
            yield source.path(link["file"]), source.document.where("services", name, "extends", "file")


def env_files(source: Source) -> Iterator[tuple[str, str, str, bool]]:
    """Service, key, path and need of every env file of a document's services."""
    for name, body in source.document.section("services").items():
        if not isinstance(body, Mapping):
            continue
        for index, entry in enumerate(as_list(body.get("env_file"))):
            long = entry if isinstance(entry, Mapping) else {"path": entry}
            if long.get("path"):
                yield name, f"env_file.{index}", source.path(long["path"]), truth(long.get("required", "true"))


@dataclass(frozen=True)
class Part:
    """What one document says of a service; `name` is the service's name there."""

    source: Source
    name: str
    body: Mapping[str, Any]

    def where(self, *key: str) -> str:
        """File and line of one of its keys."""
        return self.source.document.where("services", self.name, *key)


@dataclass(frozen=True)
class Written:
    """A service as its author wrote it: its parts from all files, those that it extends first.

    Args:
        broken: What it extends and that does not exist, with the place.
    """

    name: str
    parts: tuple[Part, ...]
    broken: tuple[tuple[str, str], ...] = ()

    def values(self, key: str) -> Iterator[tuple[Part, Any]]:
        """What the parts say under a key, `!reset` and `!override` obeyed."""
        found: list[tuple[Part, Any]] = []
        for part in self.parts:
            if ("services", part.name, key) in part.source.document.tags:
                found.clear()
            if part.body.get(key) is not None:
                found.append((part, part.body[key]))
        yield from found

    def last(self, key: str) -> tuple[Part, Any] | None:
        """What the last part says under a key."""
        return next(reversed(tuple(self.values(key))), None)

    def profiles(self) -> set[str]:
        """The profiles it belongs to."""
        return {part.source.fill(name) for part, value in self.values("profiles") for name in as_list(value)}


def written(sources: Sources) -> dict[str, Written]:
    """Every service of the project by name, active or not."""
    names = dict.fromkeys(name for source in sources.documents for name in source.document.section("services"))
    return {name: _written(sources, name) for name in names}


def active(sources: Sources, services: Mapping[str, Written]) -> dict[str, Written]:
    """The services that the active profiles leave."""
    chosen = sources.profiles
    return {
        name: service
        for name, service in services.items()
        if not (wanted := service.profiles()) or "*" in chosen or wanted & chosen
    }


def _written(sources: Sources, name: str) -> Written:
    parts: list[Part] = []
    broken: list[tuple[str, str]] = []
    for source in sources.documents:
        if name in source.document.section("services"):
            _chain(sources, source, name, parts, broken, set())
    return Written(name, tuple(parts), tuple(broken))


def _chain(
    sources: Sources,
    source: Source,
    name: str,
    parts: list[Part],
    broken: list[tuple[str, str]],
    seen: set[tuple[str, str]],
) -> None:
    value = source.document.section("services")[name]
    body: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
    seen.add((source.document.path, name))
    link = body.get("extends")
    if link:
        long = link if isinstance(link, Mapping) else {"service": link}
        path, wanted = long.get("file"), str(long.get("service") or "")
        places = sources.extended.get(source.path(path), ()) if path else (source, *sources.documents)
        found = next((one for one in places if wanted in one.document.section("services")), None)
        if found and (found.document.path, wanted) not in seen:
            _chain(sources, found, wanted, parts, broken, seen)
        elif not found and (places or not path):
            broken.append((wanted, source.document.where("services", name, "extends")))
    parts.append(Part(source, name, body))


def as_list(value: Any) -> list[Any]:
    """A value that may be one thing, several or none, as a list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def truth(value: object) -> bool:
    """YAML's idea of true."""
    return str(value).lower() in {"true", "yes", "on", "1"}

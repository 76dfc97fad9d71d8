"""The files that a compose project is written in, read as their author wrote them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compose.stack import dotenv
from compose.stack.commands import Project
from compose.stack.errors import Refused
from compose.stack.preflight.documents import read
from compose.stack.preflight.sources import Source, Sources, Unread, env_files, extended_files, includes


@dataclass
class _Reader:
    """Collects documents, following includes and extends."""

    unread: list[Unread] = field(default_factory=list)
    bad_env: dict[str, str] = field(default_factory=dict)
    extended: dict[str, tuple[Source, ...]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def text(self, path: str, named_by: str = "") -> str | None:
        """A file's text; None when it cannot be read, which is noted."""
        try:
            return Path(path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            why = "it is no text"
        except OSError as error:
            why = (error.strerror or str(error)).lower()
        self.unread.append(Unread(path, why, named_by))
        return None

    def documents(
        self, path: str, directory: str, environment: Mapping[str, str], named_by: str = ""
    ) -> list[Source]:
        """A file's documents and those of everything that it includes."""
        if path in self.seen:
            return []
        self.seen.add(path)
        text = self.text(path, named_by)
        found: list[Source] = []
        for document in read(path, text) if text is not None else ():
            source = Source(document, directory, environment)
            for include in includes(source):
                own = self.environment(include.env_files, directory=include.directory)
                for inner in include.paths:
                    found += self.documents(inner, include.directory, {**own, **environment}, include.where)
            found.append(source)
            self.extend(source)
        return found

    def extend(self, source: Source) -> None:
        """Read the files whose services a document extends."""
        for path, where in extended_files(source):
            if path in self.extended:
                continue
            self.extended[path] = ()
            text = self.text(path, where)
            if text is not None:
                directory = str(Path(path).parent)
                sources = tuple(Source(doc, directory, source.environment) for doc in read(path, text))
                self.extended[path] = sources
                for inner in sources:
                    self.extend(inner)

    def environment(self, files: tuple[str, ...], *, directory: str) -> dict[str, str]:
        """The variables of env files; without any, those of `.env` in the directory, if it is there."""
        default = os.path.join(directory, ".env")
        wanted = files or ((default,) if os.path.isfile(default) else ())
        values: dict[str, str] = {}
        for path in wanted:
            text = self.text(path)
            try:
                values |= dotenv.parse(text or "", path, os.environ)
            except Refused as error:
                self.bad_env[path] = error.what
                values |= dotenv.salvaged(text or "")
        return values


def read_sources(project: Project, environment: Mapping[str, str] | None = None) -> Sources:
    """Read a project's files, includes and extended files, and look at the env files that they name.

    Args:
        project: The project.
        environment: Variables on top of the process's own, as Compose is given them.
    """
    reader = _Reader()
    files = [os.path.abspath(path) for path in (*project.files, *project.overlays)]
    directory = os.path.abspath(project.directory or (os.path.dirname(files[0]) if files else "."))
    stored = reader.environment(tuple(os.path.abspath(path) for path in project.env_files), directory=directory)
    known = {**stored, **os.environ, **(environment or {})}
    if project.name:
        known["COMPOSE_PROJECT_NAME"] = project.name
    known.setdefault("COMPOSE_PROJECT_NAME", Path(directory).name)
    documents = tuple(source for path in files for source in reader.documents(path, directory, known))
    named = {path for source in documents for _, _, path, _ in env_files(source)}
    named |= {path for group in reader.extended.values() for one in group for _, _, path, _ in env_files(one)}
    profiles = project.profiles or tuple(filter(None, known.get("COMPOSE_PROFILES", "").split(",")))
    return Sources(
        documents,
        reader.extended,
        tuple(reader.unread),
        reader.bad_env,
        {path: kind_of(path) for path in named},
        frozenset(profiles),
    )


def kind_of(path: str) -> str:
    """What a path is: `file`, `directory`, `socket`, `other`, `missing`, `unknown` where we may not look."""
    place = Path(path)
    try:
        if place.is_file():
            return "file"
        if place.is_dir():
            return "directory"
        if place.is_socket():
            return "socket"
        return "other" if os.path.lexists(place) and place.exists() else "missing"
    except OSError:
        return "unknown"

"""Stacks and sources from a few lines of YAML, for the tests of the preflight."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

import yaml

from compose.stack.preflight.documents import read
from compose.stack.preflight.sources import Source, Sources
from compose.stack.service import Stack, parse_stack


def stack(services: str, **top: object) -> Stack:
    """A stack from the rendered form of its services; further top-level sections by keyword."""
    body = {"name": "t-unit", "services": yaml.safe_load(services), **top}
    if "ops" in body:
        body["x-ops"] = body.pop("ops")
    return parse_stack(body)


def sources(
    text: str,
    environment: Mapping[str, str] | None = None,
    *,
    profiles: tuple[str, ...] = (),
    extended: Mapping[str, str] | None = None,
    paths: Mapping[str, str] | None = None,
) -> Sources:
    """The sources of a project of one file, `/p/compose.yml`, with files that it extends by path."""
    known = dict(environment or {})

    def parts(path: str, content: str) -> tuple[Source, ...]:
        return tuple(Source(doc, posixpath.dirname(path), known) for doc in read(path, content))

    others = {path: parts(path, content) for path, content in (extended or {}).items()}
    return Sources(parts("/p/compose.yml", text), others, paths=paths or {}, profiles=frozenset(profiles))

"""Variables that are not set, by service and key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compose.stack.preflight.documents import texts
from compose.stack.preflight.findings import Finding
from compose.stack.preflight.sources import Source, Sources, Written
from compose.stack.preflight.variables import BAD, missing


def check_variables(sources: Sources, live: Mapping[str, Written]) -> Iterator[Finding]:
    """Every variable that the active services, or the rest of the file, need and the environment lacks."""
    told: set[str] = set()
    for name, service in live.items():
        for part in service.parts:
            for finding in _unset_in(part.source, part.body, ("services", part.name), name):
                told.add(finding.what.split()[0])
                yield finding
    for source in sources.documents:
        rest = {key: value for key, value in source.document.tree.items() if key != "services"}
        for finding in _unset_in(source, rest, (), ""):
            if not (finding.key.startswith("x-") and finding.what.split()[0] in told):
                yield finding


def _unset_in(source: Source, tree: object, at: tuple[str, ...], service: str) -> Iterator[Finding]:
    told: set[str] = set()
    for key, text in texts(tree):
        if "$" not in text:
            continue
        where = source.document.where(*at, *key)
        for need in missing(text, source.environment):
            if need.name in told:
                continue
            told.add(need.name)
            place = ".".join(key)
            if need.name == BAD:
                yield Finding("bad-interpolation", f"a $ that starts no variable ({where})", service, place)
            elif need.required:
                said = f": {need.message}" if need.message else ""
                yield Finding("required-variable", f"{need.name} is not set{said} ({where})", service, place)
            else:
                yield Finding("unset-variable", f"{need.name} is not set ({where})", service, place)


def required_names(sources: Sources) -> tuple[str, ...]:
    """The variables without which Compose refuses the files."""
    found: dict[str, None] = {}
    for source in (*sources.documents, *(one for group in sources.extended.values() for one in group)):
        for _, text in texts(source.document.tree):
            if "$" in text:
                needs = missing(text, source.environment)
                found |= {need.name: None for need in needs if need.required and need.name != BAD}
    return tuple(found)

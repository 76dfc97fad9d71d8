"""Problems in the files themselves: found in the author's YAML, so also when Compose refuses to read it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from compose.stack.preflight.findings import Finding
from compose.stack.preflight.references import dependencies, resources
from compose.stack.preflight.service_keys import SERVICE_KEYS
from compose.stack.preflight.sources import Source, Sources, Written, active, env_files, written
from compose.stack.preflight.variable_checks import check_variables
from compose.stack.redact import Redactor, is_secret_name


def check_sources(sources: Sources, refusal: str = "") -> Iterator[Finding]:
    """What is wrong in the files.

    Args:
        sources: The files as written.
        refusal: What Compose said when it refused them; empty when it did not. Without a refusal only that is
            looked for which Compose lets pass: it is the judge of its own rules.
    """
    services = written(sources)
    live = active(sources, services)
    lacking = list(check_variables(sources, live))
    yield from (item for item in lacking if refusal or item.code == "unset-variable")
    yield from _unused_volumes(sources, services)
    if refusal:
        found = list(_structural(sources, services, live))
        yield from found
        if not any(_explains(finding, refusal) for finding in (*found, *lacking)):
            yield Finding("compose-refuses", _clean(refusal, sources))


def _structural(
    sources: Sources, services: Mapping[str, Written], live: Mapping[str, Written]
) -> Iterator[Finding]:
    yield from _unreadable(sources)
    checks: tuple[Callable[[Sources, Written], Iterable[Finding]], ...] = (
        _undefined_resources,
        _no_image,
        _unknown_keys,
        _name_with_replicas,
    )
    for service in live.values():
        yield from _undefined_dependencies(service, services, live)
        for check in checks:
            yield from check(sources, service)
    yield from _cycles(live)
    yield from _missing_env_files(sources, live)
    yield from _broken_env_files(sources)


def _unreadable(sources: Sources) -> Iterator[Finding]:
    for source in _all(sources):
        for line, problem in source.document.problems:
            name = source.document.path.rsplit("/", 1)[-1]
            yield Finding("yaml-broken", f"{name}, line {line}: {problem}", key=f"{name}:{line}")
    for unread in sources.unread:
        place = f" (named by {unread.named_by})" if unread.named_by else ""
        yield Finding("file-missing", f"{unread.path}: {unread.why}{place}", key=unread.path)


def _all(sources: Sources) -> Iterator[Source]:
    yield from sources.documents
    for documents in sources.extended.values():
        yield from documents


def _undefined_dependencies(
    service: Written, services: Mapping[str, Written], live: Mapping[str, Written]
) -> Iterator[Finding]:
    for wanted, where in service.broken:
        yield Finding("undefined-dependency", f"extends {wanted!r}, which is not there ({where})", service.name,
                      "extends")  # fmt: skip
    for edge in dependencies(service):
        if edge.service in live:
            continue
        if edge.service not in services:
            near = difflib.get_close_matches(edge.service, services, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            what = f"refers to service {edge.service!r}, which is not defined{hint} ({edge.where})"
            yield Finding("undefined-dependency", what, service.name, edge.key)
        elif edge.required:
            profiles = ", ".join(sorted(services[edge.service].profiles()))
            what = f"refers to {edge.service}, which is only in profile {profiles}, not active ({edge.where})"
            yield Finding("undefined-dependency", what, service.name, edge.key,
                          f"--profile {profiles.split(', ')[0]}, or `required: false`")  # fmt: skip


def _undefined_resources(sources: Sources, service: Written) -> Iterator[Finding]:
    for use in resources(service):
        if use.name not in sources.declared(use.section) | ({"default"} if use.section == "networks" else set()):
            what = f"uses {use.section[:-1]} {use.name!r}, which is not declared ({use.where})"
            yield Finding("undefined-resource", what, service.name, use.key)


def _no_image(_: Sources, service: Written) -> Iterator[Finding]:
    if not service.last("image") and not service.last("build") and not service.last("provider"):
        where = service.parts[-1].where()
        yield Finding("no-image", f"has neither image nor build ({where})", service.name, "image")


def _unknown_keys(_: Sources, service: Written) -> Iterator[Finding]:
    for part in service.parts:
        for key in part.body:
            if key not in SERVICE_KEYS and not key.startswith("x-"):
                near = difflib.get_close_matches(key, SERVICE_KEYS, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield Finding("unknown-key", f"unknown key {key!r}{hint} ({part.where(key)})", service.name, key)


def _name_with_replicas(_: Sources, service: Written) -> Iterator[Finding]:
    named = service.last("container_name")
    deploy = [value.get("replicas") for _, value in service.values("deploy") if isinstance(value, Mapping)]
    scale = service.last("scale")
    counts = [*(count for count in deploy if count is not None), *([scale[1]] if scale else [])]
    text = service.parts[-1].source.fill(counts[-1]) if counts else "1"
    if named and text.isdigit() and int(text) > 1:
        what = f"container_name {named[0].source.fill(named[1])} with {text} replicas"
        yield Finding("container-name-replicas", what, service.name, "container_name")


def _cycles(live: Mapping[str, Written]) -> Iterator[Finding]:
    graph = {name: {edge.service for edge in dependencies(item)} & set(live) for name, item in live.items()}
    for name, needs in graph.items():
        if name in needs:
            needs.discard(name)
            yield Finding("dependency-cycle", f"{name} waits for itself", name, "depends_on")
    while True:
        try:
            TopologicalSorter(graph).prepare()
            return
        except CycleError as error:
            circle = list(reversed(error.args[1]))  # graphlib lists each node before the one that needs it
            first = circle[0]
            graph[first].discard(circle[1])
            what = f"{' waits for '.join(circle)}"
            yield Finding("dependency-cycle", what, first, "depends_on", also=tuple(circle[1:-1]))


def _missing_env_files(sources: Sources, live: Mapping[str, Written]) -> Iterator[Finding]:
    for source in _all(sources):
        users = {part.name: name for name, item in live.items() for part in item.parts if part.source is source}
        for name, key, path, required in env_files(source):
            if name in users and required and sources.paths.get(path, "file") in {"missing", "directory"}:
                where = source.document.where("services", name, *key.split("."))
                state = sources.paths[path].replace("directory", "a directory")
                yield Finding("env-file-missing", f"{path} is {state} ({where})", users[name], key)


def _broken_env_files(sources: Sources) -> Iterator[Finding]:
    for path, why in sources.bad_env.items():
        yield Finding("env-file-broken", f"{path}: {why}", key=path)


def _unused_volumes(sources: Sources, services: Mapping[str, Written]) -> Iterator[Finding]:
    used = {use.name for item in services.values() for use in resources(item) if use.section == "volumes"}
    for source in sources.documents:
        for name in source.document.section("volumes"):
            if name not in used:
                where = source.document.where("volumes", name)
                what = f"volume {name} is declared and used by no service ({where})"
                yield Finding("unused-volume", what, key=f"volumes.{name}")


def _explains(finding: Finding, refusal: str) -> bool:
    """Whether Compose's first error is one of ours: of the same service, or naming the same thing."""
    if finding.code in {"yaml-broken", "file-missing"}:
        return True
    if finding.code == "unset-variable":
        return False
    names = {finding.service, *finding.also, *re.findall(r"'([^']+)'", finding.what), finding.what.split()[0]}
    return any(name and re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", refusal) for name in names)


def _clean(refusal: str, sources: Sources) -> str:
    """Compose's own words, without secrets that it may quote from the files."""
    lines = [line.strip() for line in refusal.splitlines() if line.strip() and "level=warning" not in line]
    known = (source.environment for source in sources.documents)
    secrets = (value for one in known for name, value in one.items() if is_secret_name(name))
    said = re.sub(r' near "(?s:.*)', " near a line that is not shown", " | ".join(lines[-4:]))  # of an env file
    return Redactor().also(secrets).text(said)

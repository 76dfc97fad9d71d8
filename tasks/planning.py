"""Gathering what a plan is decided from, and deciding it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

from compose.stack.graph import closure, graph_of, start_order
from compose.stack.observed import Container, Observed
from compose.stack.plan import Evidence, Plan, decide, read_dry_run
from compose.stack.redact import hide
from compose.stack.release import Release
from tasks import history
from tasks.releases import config_file_hashes, last, last_touched
from tasks.work import Work


def scope_of(work: Work, only: list[str]) -> frozenset[str]:
    """The services of a request with everything that they depend on; all when none is named.

    Raises:
        Refused: A cycle, or an unknown service.
    """
    graph = graph_of(work.stack)
    start_order(graph)
    work.require(only)
    return closure(graph, only) if only else frozenset(graph)


def make_plan(work: Work, scope: frozenset[str]) -> Plan:
    """Compare what is wanted with what is there; change nothing."""
    with ThreadPoolExecutor(4) as pool:
        observing = pool.submit(work.engine.observe, work.name)
        hashing = pool.submit(work.cli.hashes, work.project)
        asking = pool.submit(work.cli.dry_run, work.project)
        observed = observing.result()
        hashes, dry_run = hashing.result(), asking.result()
    work.seen = observed
    latest = last(work)
    images = work.engine.images(service.image for service in work.stack.services.values())
    keyed = work.home.keyed_hash
    evidence = Evidence(
        hashes=hashes,
        images={name: images[service.image] for name, service in work.stack.services.items()},
        dry_run=read_dry_run(dry_run, observed) if dry_run is not None else None,
        changed_files=changed_files(work, observed, latest, scope),
        previous=latest.services if latest else {},
        wanted={name: hide(service.raw, work.redactor, keyed) for name, service in work.stack.services.items()},
        seconds=history.expected(work.state, "gap"),
    )
    return decide(work.stack, observed, evidence, scope)


def changed_files(
    work: Work, observed: Observed, last: Release | None, scope: frozenset[str]
) -> dict[str, tuple[str, ...]]:
    """Mounted files that are not what the last release recorded, for services that have containers."""
    if last is None:
        return {}
    there = frozenset(observed.services) & scope
    now = config_file_hashes(work, there)
    changed = {}
    for name, hashes in now.items():
        before = last.config_files.get(name, {})
        differing = tuple(
            path
            for path, value in hashes.items()
            if before.get(path, value) != value and not _read_already(Path(path), observed.of(name))
        )
        if differing:
            changed[name] = differing
    return changed


def _read_already(path: Path, containers: tuple[Container, ...]) -> bool:
    """True when every container started after the file's last change (by a run that died before it recorded)."""
    if not path.is_absolute():
        return False
    touched = last_touched(path)
    return all(c.was_started and datetime.fromisoformat(c.started_at).timestamp() > touched for c in containers)

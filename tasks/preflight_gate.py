"""The two preflight passes as the deployment uses them: refuse, or go on with what was found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from blocks.engine import Engine
from compose.stack.commands import Project
from compose.stack.errors import Refused
from compose.stack.observed import Observed
from compose.stack.preflight.findings import Findings, PreflightRefused
from compose.stack.preflight.store_checks import FIRST_START, first_start_conflicts, taken_over
from compose.stack.request import DeployRequest
from compose.stack.roles import role_of
from compose.stack.service import Service
from tasks.preflight import preflight_before, preflight_images
from tasks.releases import last
from tasks.work import Work


def before_anything(work: Work, request: DeployRequest, scope: frozenset[str], *, refuse: bool = True) -> Findings:
    """First pass: file and host.

    Raises:
        Refused: Errors that were not accepted, all of them.
    """
    found = preflight_before(
        work.stack,
        work.project,
        engine=work.engine,
        home=work.home.path,
        environment=work.cli.environment,
        scope=scope,
        accept=request.accept,
    )
    return found.refuse() if refuse else found


def after_images(work: Work, request: DeployRequest, scope: frozenset[str], *, refuse: bool = True) -> Findings:
    """Second pass: what only an image tells; an image that is not here is reported as unknown.

    Raises:
        Refused: Errors that were not accepted, all of them.
    """
    found = preflight_images(
        work.stack, engine=work.engine, home=work.home.path, scope=scope, accept=request.accept
    )
    return found.refuse() if refuse else found


def first_start_secrets(work: Work, scope: frozenset[str], accept: Collection[str] = ()) -> Findings:
    """Secrets that a database took over at its first start, against today's.

    Args:
        accept: `first-start-secret` among them: somebody changed the secret inside the database.

    Raises:
        Refused: They differ; today's would not open the data.
    """
    keyed = work.home.keyed_hash
    keeps = any(FIRST_START.get(role_of(service)) for service in work.stack.services.values())
    observed = work.engine.observe(work.name) if keeps else Observed()
    earlier = {**_of_last_release(work, keyed), **taken_over(work.stack, observed, keyed)}
    within = {name: values for name, values in earlier.items() if name in scope}
    return first_start_conflicts(work.stack, within, keyed).accepting(accept).refuse()


def _of_last_release(work: Work, keyed: Callable[[str], str]) -> dict[str, dict[str, str]]:
    """What the last release recorded, for databases whose volume is still there."""
    latest = last(work)
    kept: dict[str, dict[str, str]] = {}
    for name, body in (latest.services if latest else {}).items():
        service = work.stack.services.get(name)
        keys = FIRST_START.get(role_of(service), ()) if service else ()
        values = {
            key: str(value) for key, value in (body.get("environment") or {}).items() if key in keys and value
        }
        if service and values and _has_data(work, service):
            kept[name] = {
                key: value.removeprefix("secret:") if value.startswith("secret:") else keyed(value)
                for key, value in values.items()
            }
    return kept


def _has_data(work: Work, service: Service) -> bool:
    volumes = work.stack.section("volumes")
    names = [
        str(volumes.get(m.source, {}).get("name") or m.source)
        for m in service.mounts
        if m.kind == "volume" and m.source
    ]
    return any(work.engine.volume_exists(name) for name in names)


def explain_refusal(
    home: Path, project: Project, engine: Engine, environment: Mapping[str, str] | None, said: Refused
) -> Refused:
    """Everything that is wrong with files that Compose refuses, instead of the first thing only.

    Where Compose is content and an `x-ops` block is wrong, that already names all of it, by place.
    """
    if "x-ops" in said.where:
        return said
    found = preflight_before(None, project, engine=engine, home=home, environment=environment, refusal=said.what)
    return PreflightRefused(found) if found.errors else said

"""Preflight: gather facts, decide what is wrong; before anything is touched, and when the images are here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from blocks import facts, image_files
from blocks.engine import Engine, talking
from blocks.sources import read_sources
from compose.stack.commands import Project
from compose.stack.observed import Observed
from compose.stack.preflight.findings import Findings
from compose.stack.preflight.image_questions import question
from compose.stack.preflight.images import Image, Question
from compose.stack.preflight.passes import first_pass, second_pass
from compose.stack.service import Stack
from tasks.salvage import salvage


def preflight_before(
    stack: Stack | None,
    project: Project,
    *,
    engine: Engine,
    home: Path,
    environment: Mapping[str, str] | None = None,
    observed: Observed | None = None,
    scope: Collection[str] | None = None,
    accept: Iterable[str] = (),
    refusal: str = "",
) -> Findings:
    """First pass: file and host, before anything is touched.

    Args:
        stack: The project as Compose renders it; None when Compose refuses it, then `refusal` says why.
        project: Where it comes from.
        engine: The engine.
        home: OPS_HOME.
        environment: Variables on top of the process's own, as Compose is given them.
        observed: The project's containers, asked of the engine when not given.
        scope: Services that are meant; all by default.
        accept: `CODE` or `CODE:SERVICE` of errors that are taken as risks.
        refusal: What Compose said.

    Returns:
        Everything found; `.refuse()` raises when errors are among it.
    """
    sources = read_sources(project, environment)
    made_up: frozenset[str] = frozenset()
    if stack is None:
        stack, made_up = salvage(project, sources, environment)
    if observed is None:
        observed = engine.glance(stack.project) if stack else Observed()
    host = facts.host_facts(engine, stack, home)
    running = frozenset(container.service for container in observed.containers if container.running)
    found = first_pass(sources, stack, host, running=running, refusal=refusal)
    found = _without_made_up(found, made_up)
    return (found if scope is None else found.concerning(scope)).accepting(accept)


def preflight_images(
    stack: Stack,
    *,
    engine: Engine,
    home: Path | None = None,
    scope: Collection[str] | None = None,
    accept: Iterable[str] = (),
) -> Findings:
    """Second pass: what only the images tell. An image that is not here is reported as unknown.

    Args:
        stack: The stack with the images that it will really use.
        engine: The engine.
        home: OPS_HOME, where answers about images are kept; without it each image is looked into again.
        scope: Services that are meant; all by default.
        accept: `CODE` or `CODE:SERVICE` of errors that are taken as risks.
    """
    chosen = [service for name, service in stack.services.items() if scope is None or name in scope]
    images = image_files.images(engine, {service.image for service in chosen})
    with talking():
        volumes = frozenset(body["Name"] for body in engine.client.api.volumes().get("Volumes") or ())
        machine = str(engine.client.api.info().get("Architecture") or "")
    questions: dict[Image, Question] = {}
    for service in chosen:
        image = images.get(service.image)
        if image is not None:
            asked = question(stack, service, image, volumes)
            questions[image] = questions.get(image, Question()) | asked
    contents = image_files.look(engine, questions, home / "cache" / "images" if home else None)
    found = second_pass(stack, images, contents, volumes=volumes, machine=machine)
    return (found if scope is None else found.concerning(scope)).accepting(accept)


def _without_made_up(found: Findings, values: frozenset[str]) -> Findings:
    """Without what is true only of a value that we made up."""
    return Findings(tuple(item for item in found if not any(value in item.what for value in values)))

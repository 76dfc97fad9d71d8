"""The two passes: facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from compose.stack.preflight.compose_checks import check_compose
from compose.stack.preflight.findings import Finding, Findings, judge
from compose.stack.preflight.health_checks import check_health, check_oneshots
from compose.stack.preflight.host import HostFacts
from compose.stack.preflight.image_checks import check_image
from compose.stack.preflight.images import Contents, Image
from compose.stack.preflight.limit_checks import check_limits, check_sums
from compose.stack.preflight.network_checks import check_container_names, check_externals, check_networks
from compose.stack.preflight.path_checks import check_paths
from compose.stack.preflight.port_checks import check_duplicates, check_taken
from compose.stack.preflight.requirement_checks import check_disks, check_requirements
from compose.stack.preflight.safety_checks import check_safety
from compose.stack.preflight.secret_checks import check_secrets
from compose.stack.preflight.source_checks import check_sources
from compose.stack.preflight.sources import Sources
from compose.stack.preflight.store_checks import check_database_volumes
from compose.stack.service import Stack


def first_pass(
    sources: Sources,
    stack: Stack | None,
    host: HostFacts,
    *,
    running: frozenset[str] = frozenset(),
    refusal: str = "",
) -> Findings:
    """File and host, before anything is touched.

    Args:
        sources: The files as written.
        stack: The project as Compose renders it, None when nothing could be made of it.
        host: The machine.
        running: Services that run already.
        refusal: What Compose said when it refused the project.
    """
    found = list(check_sources(sources, refusal))
    if stack is not None:
        found += _stack(stack, host, running)
    return judge(found, own=stack.hints.own if stack is not None else sources.own)


def _stack(stack: Stack, host: HostFacts, running: frozenset[str]) -> Iterator[Finding]:
    yield from check_duplicates(stack)
    yield from check_taken(stack, host)
    yield from check_networks(stack, host)
    yield from check_externals(stack, host)
    yield from check_container_names(stack, host)
    yield from check_paths(stack, host)
    yield from check_database_volumes(stack)
    yield from check_compose(stack, host.compose)
    yield from check_oneshots(stack)
    yield from check_health(stack)
    yield from check_secrets(stack)
    yield from check_safety(stack)
    yield from check_limits(stack, host)
    yield from check_sums(stack, host, running)
    yield from check_requirements(stack, host, running)
    yield from check_disks(host)


def second_pass(
    stack: Stack,
    images: Mapping[str, Image | None],
    contents: Mapping[str, Contents],
    *,
    volumes: frozenset[str] = frozenset(),
    machine: str = "",
) -> Findings:
    """What only the images tell, before any container is made.

    Args:
        stack: The stack.
        images: Each image by reference, None for one that is not here.
        contents: What was found in each image's files, by reference.
        volumes: The volumes that exist.
        machine: The engine's architecture.
    """
    found: list[Finding] = []
    for service in stack.services.values():
        image = images.get(service.image)
        if image is None:
            found.append(Finding("image-unknown", f"unknown until {service.image} is here", service.name, "image"))
        else:
            inside = contents.get(service.image, Contents())
            found += check_image(stack, service, image, inside, volumes, machine)
    return judge(found, own=stack.hints.own)

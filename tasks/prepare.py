"""Before and after the services: directories, what a dead run left behind, and integration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from compose.stack.observed import REPLACES, Container
from tasks.work import Work


def prepare_directories(work: Work, scope: frozenset[str]) -> str:
    """Make the bind sources that Compose would make, before the engine makes them as root at a worse moment."""
    made = []
    for name in sorted(scope):
        for mount in work.stack[name].mounts:
            if (
                mount.kind == "bind"
                and mount.source
                and mount.create_host_path
                and not Path(mount.source).exists()
            ):
                Path(mount.source).mkdir(parents=True)
                made.append(mount.source)
    return f"made {', '.join(made)}" if made else "all there"


def repair_leftovers(work: Work) -> None:
    """Finish or undo what a replacement that was interrupted half-way left under a temporary name.

    Compose makes the new container under a temporary name, removes the old one, then renames. Where the old one
    is still there the new one, which never ran, is removed (its volumes are the old one's); else it is renamed.
    """
    there = work.engine.glance(work.name).containers
    names = {container.name for container in there}
    for container in there:
        if not container.labels.get(REPLACES) or container.service not in work.stack.services:
            continue
        service = work.stack[container.service]
        wanted = service.container_name or f"{work.name}-{container.service}-{container.number}"
        if container.name == wanted:
            continue
        if wanted in names and container.state == "created":
            work.engine.remove(container.id)
            work.say(container.service, f"an interrupted replacement was undone ({container.name})")
        elif wanted not in names:
            work.engine.rename(container.id, wanted)
            work.say(container.service, f"got its name back after an interrupted replacement ({container.name})")


def integrate(work: Work, scope: frozenset[str]) -> str:
    """Phase 11: make what services need of each other, once all of them are ready; what was made.

    Raises:
        Failed: A server refused, or does not show what was made.
    """
    hints = work.stack.hints.integration
    if not (hints.postgres or hints.chromadb or hints.coordinator):
        return "nothing to do"
    from blocks import integration  # the databases' drivers take 0.2 s to import

    todo: list[Callable[[], list[str]]] = []
    for postgres in hints.postgres:
        found = _first(work, postgres.service, scope)
        todo += [partial(integration.postgres, postgres, one, work.engine.run_in) for one in found]
    for chroma in hints.chromadb:
        todo += [partial(integration.chroma, chroma, one) for one in _first(work, chroma.service, scope)]
    for agents in hints.coordinator:
        todo += [partial(integration.agents, agents, one) for one in _first(work, agents.service, scope)]
    made = [what for do in todo for what in do()]
    if made:
        work.say("integration", f"made {', '.join(made)}")
    return f"made {', '.join(made)}" if made else f"{len(todo)} checked, all there" if todo else "nothing to do"


def _first(work: Work, service: str, scope: frozenset[str]) -> tuple[Container, ...]:
    return work.engine.observe_service(work.name, service)[:1] if service in scope else ()

"""What people do to a stack between deployments: look, restart, read logs, stop, remove."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from blocks.compose_cli import WITH_STOP, ComposeCli
from blocks.engine import Engine
from blocks.home import Home
from blocks.lock import stack_lock
from blocks.releases import ReleaseStore
from blocks.verdict_store import VerdictStore
from compose.stack import commands
from compose.stack.errors import Failed, Refused
from compose.stack.graph import with_sharers
from compose.stack.observed import PROJECT
from compose.stack.request import StackRef
from compose.stack.service import Stack
from compose.stack.status import ServiceStatus, status_of
from tasks.releases import KEEP
from tasks.stacks import ResolvedStack, load_stack, resolve


@dataclass(frozen=True)
class Opened:
    """A stack with everything needed to work on it."""

    found: ResolvedStack
    stack: Stack
    cli: ComposeCli

    @property
    def project(self) -> str:
        """The compose project's name."""
        return self.stack.project

    @property
    def releases(self) -> ReleaseStore:
        """Its chain of releases."""
        return ReleaseStore(self.found.state / "releases")

    def known(self, services: Sequence[str]) -> tuple[str, ...]:
        """The services, every one of which the stack has; refuses the others by name, all at once."""
        unknown = [name for name in services if name not in self.stack.services]
        if unknown:
            raise Refused(
                f"no such service: {', '.join(unknown)}",
                where=self.project,
                next=f"choose among {', '.join(self.stack.services)}",
            )
        return tuple(services)


def open_stack(home: Home, ref: StackRef) -> Opened:
    """Find and read the stack that a person means."""
    found = resolve(home, ref)
    cli = ComposeCli(environment=found.environment)
    found, stack = load_stack(home, found, cli)
    return Opened(found, stack, cli)


def status(home: Home, ref: StackRef) -> tuple[str, tuple[ServiceStatus, ...]]:
    """The project's name and one row per service."""
    opened = open_stack(home, ref)
    engine = Engine.connect()
    observed = engine.observe(opened.project)
    images = {container.image_id for container in observed.containers if container.image_id}
    pulled = {image: bool((engine.image(image) or {}).get("RepoDigests")) for image in images}
    here = {image: not yes for image, yes in pulled.items()}
    return opened.project, status_of(opened.stack, observed, opened.releases.all(), here)


def restart(home: Home, ref: StackRef, services: Sequence[str]) -> None:
    """Restart services in place, and with them those that are there and live in their namespaces."""
    opened = open_stack(home, ref)
    engine, asked = Engine.connect(), opened.known(services)
    there = engine.glance(opened.project).services
    names = [name for name in with_sharers(opened.stack, asked) if name in asked or name in there]
    with stack_lock(engine.id, opened.project, f"restart {' '.join(names)}") as handle:
        cli = ComposeCli(opened.found.environment, keep=(handle,))
        cli.run(commands.restart(opened.found.project, names), limit=WITH_STOP, where=", ".join(names))


def logs(home: Home, ref: StackRef, services: Sequence[str], *, follow: bool, since: str, lines: int) -> int:
    """Print the services' logs to our own output; Compose's exit code."""
    opened = open_stack(home, ref)
    argv = commands.logs(opened.found.project, opened.known(services), follow=follow, since=since, lines=lines)
    plain = {} if sys.stdout.isatty() else {"COMPOSE_ANSI": "never"}
    return subprocess.run(argv, env={**os.environ, **opened.found.environment, **plain}, check=False).returncode


def down(home: Home, ref: StackRef) -> tuple[str, tuple[str, ...]]:
    """Stop and remove the containers and networks; the project's name and the volumes that stay."""
    opened = open_stack(home, ref)
    engine = Engine.connect()
    with stack_lock(engine.id, opened.project, "down") as handle:
        cli = ComposeCli(opened.found.environment, keep=(handle,))
        VerdictStore(opened.found.state).mark_down("./ops down")
        cli.run(commands.down(cli.whole(opened.found.project)), limit=WITH_STOP, where=opened.project)
    return opened.project, tuple(sorted(volume["Name"] for volume in engine.volumes(opened.project)))


@dataclass(frozen=True)
class Inventory:
    """What `destroy` removes; sizes in bytes, None where the engine does not tell.

    Args:
        images: Tags under which images are kept for rollbacks.
    """

    project: str
    containers: tuple[str, ...]
    volumes: tuple[tuple[str, int | None], ...]
    networks: tuple[str, ...]
    images: tuple[str, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.containers or self.volumes or self.networks or self.images)


def inventory(home: Home, ref: StackRef) -> Inventory:
    """Everything of a project that the engine has, by the project's label."""
    project = open_stack(home, ref).project
    engine = Engine.connect()
    sizes = engine.volume_sizes()
    label = {"label": f"{PROJECT}={project}"}
    return Inventory(
        project,
        tuple(sorted(container.name for container in engine.observe(project).containers)),
        tuple((v["Name"], sizes.get(v["Name"])) for v in engine.volumes(project)),
        tuple(sorted(network["Name"] for network in engine.client.api.networks(filters=label))),
        tuple(sorted(engine.tagged(f"{KEEP}/{project}"))),
    )


def destroy(home: Home, ref: StackRef) -> str:
    """Remove containers, networks, volumes and kept images of a project; its releases stay as a record."""
    opened = open_stack(home, ref)
    engine = Engine.connect()
    with stack_lock(engine.id, opened.project, "destroy") as handle:
        VerdictStore(opened.found.state).mark_down("./ops destroy")
        cli = ComposeCli(opened.found.environment, keep=(handle,))
        cli.run(commands.destroy(cli.whole(opened.found.project)), limit=WITH_STOP, where=opened.project)
        for reference in engine.tagged(f"{KEEP}/{opened.project}"):
            engine.untag(reference)
    left = inventory(home, ref)
    if not left.empty:
        names = ", ".join([*left.containers, *(name for name, _ in left.volumes), *left.networks, *left.images])
        raise Failed(f"still there: {names}", where=opened.project, next="see what uses them: docker ps -a")
    return opened.project

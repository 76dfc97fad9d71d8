"""Creating, recreating, starting and restarting the containers of services."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence

from blocks import ports
from blocks.compose_cli import WITH_STOP
from compose.stack import commands
from compose.stack.causes import bound_port, cause_of_refusal
from compose.stack.errors import Failed
from compose.stack.observed import Container
from compose.stack.plan import Action, Step
from tasks.work import Work

AT_ONCE = threading.Semaphore(max(4, min(3 * (os.cpu_count() or 1), 16)))
"""More at once would only share the processors: each would run later, and so would all that wait for it."""
ONE_BY_ONE = threading.Lock()
"""For making what is missing: two that need the same network would both make it."""


def create(work: Work, services: Sequence[str]) -> None:
    """Make the containers that are missing; start nothing.

    Raises:
        Failed: Compose could not create one.
    """
    whole = set(services) == {name for name, s in work.stack.services.items() if s.replicas}
    argv = commands.converge(work.project, () if whole else services)
    work.cli.run(argv, limit=WITH_STOP, where="create")
    there = work.engine.glance(work.name)
    work.made.update({name: tuple(c.id for c in there.of(name)) for name in services})


def begin(work: Work, step: Step, sharers: Sequence[str] = ()) -> str:
    """Bring one service's containers to the point where they run.

    Args:
        step: What the plan says of it.
        sharers: Services in its namespaces, recreated with it.

    Raises:
        Failed: Compose or the engine refused; the cause is named.
    """
    work.journal(f"start:{step.service}", "begin", action=step.action.value)
    work.moments[f"turn:{step.service}"] = time.monotonic()
    if step.action in {Action.RECREATE, Action.REMOVE}:
        _converge(work, step, sharers)
    elif step.action is Action.CREATE and not work.made.get(step.service):
        with ONE_BY_ONE:
            _converge(work, step)
    if step.action is not Action.REMOVE:
        _run(work, step)
    work.moments[f"started:{step.service}"] = time.monotonic()
    work.journal(f"start:{step.service}", "end")
    return step.action.value


def _run(work: Work, step: Step) -> None:
    with AT_ONCE:
        if step.action is Action.RESTART:
            work.moments[f"stop:{step.service}"] = time.monotonic()
            for container in work.engine.glance(work.name).of(step.service):
                (work.engine.stop if step.by_compose else work.engine.restart)(container.id)
        if step.by_compose:
            argv = commands.start_by_compose(work.project, (step.service,))
            work.cli.run(argv, limit=WITH_STOP, where=step.service)
        elif step.action is not Action.RESTART:
            _start(work, step)


def _converge(work: Work, step: Step, sharers: Sequence[str] = ()) -> None:
    if step.action is Action.RECREATE:
        work.moments[f"stop:{step.service}"] = time.monotonic()
    for name in (step.service, *sharers):
        work.made.pop(name, None)
    argv = commands.converge(work.project, (step.service, *sharers), force=step.force)
    work.cli.run(argv, limit=WITH_STOP, where=step.service)


def _start(work: Work, step: Step) -> None:
    made = work.made.get(step.service)
    for container in made or [c.id for c in containers_of(work, step.service) if not c.running]:
        try:
            work.engine.start(container)
        except Failed as error:
            raise refused(work, step.service, error) from None


def containers_of(work: Work, service: str) -> tuple[Container, ...]:
    """The service's containers now.

    Raises:
        Failed: It has none.
    """
    made = [work.engine.inspect(container) for container in work.made.get(service, ())]
    found = tuple(one for one in made if one) or work.engine.observe_service(work.name, service)
    if not found:
        raise Failed("it has no container", where=service, next=f"./ops plan --stack {work.found.name}")
    return found


def refused(work: Work, service: str, error: Failed) -> Failed:
    """The engine's refusal to start, with its cause and, for a port, its holder."""
    port = bound_port(error.what)
    cause = cause_of_refusal(error.what)
    if port:
        cause = f"port {port} is already in use by {ports.holder(port) or 'another process'}"
    return Failed(work.redactor.text(cause), where=service, next="./ops doctor")

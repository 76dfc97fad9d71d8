"""Verifying a stack: what is asked of each service, and what its containers' states alone tell."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from compose.stack.graph import graph_of, start_order
from compose.stack.inference import ended_well, is_oneshot
from compose.stack.observed import Container
from compose.stack.probes import Answer, Readiness
from compose.stack.request import StackRef
from compose.stack.service import Stack
from compose.stack.verdicts import Finding, Level, Mark

ONESHOT = "exit code"


class VerifyRequest(StackRef):
    """A verification.

    Args:
        level: `alive` (own probe), `ready` (readiness route or protocol) or `working` (a round trip).
    """

    level: Level = Field(default=Level.READY)


def wanted_services(stack: Stack) -> tuple[str, ...]:
    """The services that should be there (all but those scaled to zero), causes before consequences."""
    graph = graph_of(stack)
    depth: dict[str, int] = {}
    for name in start_order(graph):
        depth[name] = 1 + max((depth[need] for need in graph[name]), default=0)
    names = (name for name, service in stack.services.items() if service.replicas > 0)
    return tuple(sorted(names, key=lambda name: depth[name]))


def presence(stack: Stack, name: str, containers: Sequence[Container], level: Level) -> Finding | None:
    """What the containers' states alone tell of a service; None when one runs and has to be asked."""
    wanted = stack[name].replicas
    if len(containers) < wanted:
        said = "it has no container" if not containers else f"{len(containers)} of {wanted} containers are there"
        return Finding(name, level, Mark.FAILED, "containers", said)
    if is_oneshot(stack, name):
        return _ended(name, containers, level)
    still = [container for container in containers if not container.running]
    odd = next((container for container in still if not ended_well(stack, name, container)), None)
    if odd is not None:
        return Finding(name, level, Mark.FAILED, "state", f"its container {_state(odd)}")
    return _ended(name, containers, level) if len(still) == len(containers) else None


def absent(stack: Stack, name: str, containers: Sequence[Container]) -> bool:
    """True when a service's containers are missing or do not run as they should."""
    told = presence(stack, name, containers, Level.ALIVE)
    return told is not None and told.mark is Mark.FAILED


def _ended(name: str, containers: Sequence[Container], level: Level) -> Finding:
    bad = next((c for c in containers if not c.running and (c.state != "exited" or c.exit_code)), None)
    if bad:
        return Finding(name, level, Mark.FAILED, ONESHOT, f"its container {_state(bad)}")
    if any(container.running for container in containers):
        mark = Mark.PASSED if level is Level.ALIVE else Mark.FAILED
        return Finding(name, level, mark, ONESHOT, "it is still at work")
    return Finding(name, level, Mark.PASSED, ONESHOT, "exited with code 0")


def _state(container: Container) -> str:
    if container.state == "created":
        return "was never started"
    if container.state in ("exited", "dead"):
        reason = " (out of memory)" if container.oom_killed else ""
        return f"exited with code {container.exit_code}{reason}"
    return f"is {container.state}"


def mark_of(answer: Answer, own: Readiness, known_port: bool) -> Mark:
    """What an answer to a service's own probe means.

    Args:
        known_port: The file itself publishes or exposes the port that was asked; a port that only the image's
            name suggests, and at which nobody listens, proves nothing. Neither does an address that is not
            reachable from here.
    """
    if answer.ok:
        return Mark.PASSED
    if answer.silent or (answer.refused and not (own.binding or known_port)):
        return Mark.NOT_PROVEN
    return Mark.FAILED

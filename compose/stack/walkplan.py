"""The steps of a deployment as a graph: what has to be started or proven before what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compose.stack.plan import Action, Step
from compose.stack.service import Dependency, Stack


@dataclass(frozen=True)
class Edges:
    """What one service's start waits for, as keys of the walk.

    Args:
        needed: Steps that must have succeeded.
        optional: Steps that must have ended, however they ended.
    """

    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def start_key(service: str) -> str:
    """The step that brings a service's containers to run."""
    return f"start:{service}"


def ready_key(service: str) -> str:
    """The step that proves a service ready."""
    return f"ready:{service}"


def edges_of(stack: Stack, service: str, starting: frozenset[str], proving: frozenset[str]) -> Edges:
    """What a service's start waits for.

    Args:
        starting: Services that have a start step in this walk.
        proving: Services that have a ready step in this walk.
    """
    needed: list[str] = []
    optional: list[str] = []
    for edge in stack[service].depends:
        key = _milestone(edge, starting, proving)
        if key:
            (needed if edge.required else optional).append(key)
    for host in stack[service].shares_with:
        if host in starting and start_key(host) not in needed:
            needed.append(start_key(host))
    return Edges(tuple(needed), tuple(optional))


def _milestone(edge: Dependency, starting: frozenset[str], proving: frozenset[str]) -> str | None:
    if edge.condition == "service_started":
        return start_key(edge.service) if edge.service in starting else None
    return ready_key(edge.service) if edge.service in proving else None


def predicted_seconds(stack: Stack, steps: Sequence[Step], seconds: Mapping[str, float]) -> float | None:
    """How long the walk will take, from earlier runs; None when a service was never measured."""
    ends: dict[str, float] = {}
    for step in steps:
        if step.action in {Action.UNCHANGED, Action.DONE, Action.NONE}:
            continue
        if step.service not in seconds:
            return None
        before = [ends.get(edge.service, 0.0) for edge in stack[step.service].depends]
        ends[step.service] = max(before, default=0.0) + seconds[step.service]
    return max(ends.values(), default=0.0)

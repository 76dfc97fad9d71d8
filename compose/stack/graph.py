"""The dependency graph of a stack: order, cycles, layers, critical path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from compose.stack.errors import Refused
from compose.stack.service import Stack

Graph = Mapping[str, frozenset[str]]


def graph_of(stack: Stack, among: Iterable[str] | None = None) -> Graph:
    """Each service with the services that it waits for.

    Args:
        stack: The stack.
        among: Only these services, and the edges between them; all by default.
    """
    chosen = set(stack.services if among is None else among)
    return {
        name: frozenset(edge.service for edge in stack[name].depends if edge.service in chosen)
        for name in stack.services
        if name in chosen
    }


def start_order(graph: Graph) -> tuple[str, ...]:
    """Dependencies before dependents.

    Raises:
        Refused: The graph has a cycle; it is named.
    """
    try:
        return tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise Refused(f"the services depend on each other in a cycle: {' → '.join(error.args[1])}") from None


def dependents(graph: Graph, names: Iterable[str]) -> frozenset[str]:
    """Everything that transitively waits for one of `names` (they themselves excluded)."""
    start = frozenset(names)
    found: set[str] = set()
    while grown := {name for name, needs in graph.items() if needs & (start | found)} - found - start:
        found |= grown
    return frozenset(found)


def closure(graph: Graph, names: Iterable[str]) -> frozenset[str]:
    """`names` and everything that they transitively wait for."""
    found: set[str] = set()
    todo = [name for name in names if name in graph]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(graph[name])
    return frozenset(found)


def with_sharers(stack: Stack, names: Iterable[str]) -> tuple[str, ...]:
    """`names` and everything that lives in their network, IPC or PID namespaces."""
    found = list(names)
    for name in start_order(graph_of(stack)):
        if name not in found and set(stack[name].shares_with) & set(found):
            found.append(name)
    return tuple(found)


def critical_path(graph: Graph, ready_at: Mapping[str, float]) -> tuple[str, ...]:
    """The chain of services that held the deployment up, first to last.

    Args:
        graph: The graph that was walked.
        ready_at: Moment at which each service was ready, in seconds.
    """
    known = {name: moment for name, moment in ready_at.items() if name in graph}
    if not known:
        return ()
    path = [max(known, key=lambda name: known[name])]
    while held_by := [name for name in graph[path[-1]] if name in known]:
        path.append(max(held_by, key=lambda name: known[name]))
    return tuple(reversed(path))

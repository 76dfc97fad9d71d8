"""A plan as the nodes of a walk: what is created, started and proven, and what each waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from compose.stack.errors import Failed, OpsError
from compose.stack.graph import closure, graph_of
from compose.stack.plan import Action, Plan, Step
from compose.stack.walkplan import edges_of, ready_key, start_key
from flows.walker import Node
from tasks.ready import Proof, await_ready
from tasks.start import begin, create
from tasks.watch import Watch
from tasks.work import Work


@dataclass
class Nodes:
    """Makes the nodes of one plan.

    Args:
        watch: Listens to the engine while the nodes are at work.
        steady: Unchanged services that have proven themselves already, with their proof.
    """

    work: Work
    plan: Plan
    watch: Watch
    steady: dict[str, str]
    starting: frozenset[str] = field(init=False)
    proving: frozenset[str] = field(init=False)
    missing: list[str] = field(init=False)
    awaited: frozenset[str] = field(init=False)
    shared: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.starting = frozenset(step.service for step in self.plan.changes)
        still = {step.service for step in self.plan.steps if step.action is Action.UNCHANGED}
        self.proving = self.starting | (still - self.steady.keys())
        self.missing = _creatable(self.work, self.plan)
        edges = [edges_of(self.work.stack, name, self.starting, self.proving) for name in self.starting]
        self.awaited = frozenset(key for edge in edges for key in (*edge.needed, *edge.optional))
        self.shared = frozenset(host for name in self.starting for host in self.work.stack[name].shares_with)

    def all(self) -> list[Node]:
        """Every node, each after those that it waits for."""
        nodes: list[Node] = []
        if self.missing:
            title = f"create {len(self.missing)} services"
            do = _abortable(self.work, "create", partial(_create, self.work, self.missing))
            nodes.append(Node("create", "create", do, title=title))
        if self.steady:
            title = f"unchanged: {len(self.steady)} services"
            nodes.append(Node("unchanged", "unchanged", lambda: ", ".join(sorted(self.steady)), title=title))
        for step in self.plan.steps:
            if step.service in self.starting:
                nodes += self._starting(step)
            elif step.service in self.proving:
                nodes.append(self._node(step, ready_key(step.service), "ready", self._await(step)))
        return nodes

    def _starting(self, step: Step) -> list[Node]:
        """One node for start and proof; two where somebody waits for the start only."""
        edges = edges_of(self.work.stack, step.service, self.starting, self.proving)
        made = {key(name) for name in self.missing for key in (start_key, ready_key)}
        waits = self.missing and _by_compose(step) and not made & set(edges.needed)  # else it waits through them
        after, optional = edges.needed, (*(("create",) if waits else ()), *edges.optional)
        start, ready = start_key(step.service), ready_key(step.service)
        begins, proves, action = self._begin(step), self._await(step), step.action.value
        if start not in self.awaited:
            return [self._node(step, ready, action, partial(_in_turn, begins, proves), after, optional)]
        return [
            self._node(step, start, action, begins, after, optional),
            self._node(step, ready, "ready", proves, (start,)),
        ]

    def _node(
        self,
        step: Step,
        key: str,
        what: str,
        do: Callable[[], object],
        after: tuple[str, ...] = (),
        optional: tuple[str, ...] = (),
    ) -> Node:
        tags = (step.phase.tag, self.work.found.name)
        title = f"{step.phase.value:02d} {what} {step.service}"
        return Node(key, step.service, _abortable(self.work, step.service, do), after, optional, title, tags)

    def _begin(self, step: Step) -> Callable[[], str]:
        sharers = self._sharers(step) if step.service in self.shared else ()
        return partial(begin, self.work, step, sharers)

    def _sharers(self, step: Step) -> tuple[str, ...]:
        """The services that are replaced with it, because they live in its namespaces."""
        if step.action is not Action.RECREATE:
            return ()
        replaced = (other.service for other in self.plan.changes if other.action is Action.RECREATE)
        return tuple(name for name in replaced if step.service in self.work.stack[name].shares_with)

    def _await(self, step: Step) -> Callable[[], Proof]:
        if step.action is Action.REMOVE:
            return lambda: Proof("removed", "scaled to zero", 0.0)
        return partial(await_ready, self.work, step, self.watch)


def _in_turn(begins: Callable[[], str], proves: Callable[[], Proof]) -> Proof:
    begins()
    return proves()


def _creatable(work: Work, plan: Plan) -> list[str]:
    """Missing services that can be created at once: making them replaces nothing that still serves."""
    graph = graph_of(work.stack)
    replaced = {step.service for step in plan.changes if step.action is Action.RECREATE}
    missing = [step.service for step in plan.changes if step.action is Action.CREATE]
    return [name for name in missing if not closure(graph, [name]) & replaced]


def _by_compose(step: Step) -> bool:
    """True when Compose brings it to run: two at once would both make a network that is missing."""
    return step.by_compose or step.action in {Action.CREATE, Action.RECREATE, Action.REMOVE}


def _create(work: Work, services: list[str]) -> str:
    """Make all that is missing at once; when that fails, each is made in its turn and fails under its own name."""
    work.journal("create", "begin", services=services)
    try:
        create(work, services)
    except Failed as error:
        told = work.redactor.text(f"not all at once, so each in its turn: {error.what}")
        work.say("create", told)
        return told
    finally:
        work.journal("create", "end")
    return f"{len(services)} services"


def _abortable(work: Work, service: str, do: Callable[[], object]) -> Callable[[], object]:
    def guarded() -> object:
        if work.abort.is_set():
            raise Failed("not begun: the deployment is being rolled back")
        try:
            with work.waiting(service):
                return do()
        except OpsError as error:
            error.what = work.redactor.text(error.what)
            if work.rolls_back:
                work.abort.set()
            raise

    return guarded

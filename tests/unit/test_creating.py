"""Creation that fails: the service that cannot be made says why, and nobody else waits for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from blocks.compose_cli import ComposeCli
from blocks.engine import Engine
from blocks.home import Home
from compose.stack.commands import Project
from compose.stack.errors import Failed
from compose.stack.observed import Container, Observed
from compose.stack.plan import Evidence, decide
from compose.stack.redact import Redactor
from compose.stack.service import parse_stack
from flows.deploy_stack import apply
from flows.walker import ThreadRunner
from tasks import ready
from tasks.stacks import ResolvedStack
from tasks.work import Work

SAID = "Error response from daemon: unknown or invalid runtime name: nvidia"
STACK = parse_stack(
    {
        "name": "p",
        "services": {
            "gpu": {"image": "a:1", "runtime": "nvidia", "environment": {"TOKEN": "canary-token"}},
            "after": {"image": "a:1", "depends_on": {"gpu": {"condition": "service_started", "required": True}}},
            "web": {"image": "b:1"},
            "old": {"image": "c:1"},
        },
    }
)
IMAGES = dict.fromkeys(STACK.services, "i")


class World:
    """An engine and a Compose on which one service cannot be created."""

    id = "e"

    def __init__(self) -> None:
        old = Container("old", "p-old-1", "old", state="exited", exit_code=1, image_id="i")
        self.there = {"old": replace(old, started_at="2026-01-01T00:00:00Z")}
        self.creations: list[tuple[str, ...]] = []

    def run(self, argv: Sequence[str], **_: Any) -> str:
        """`up --no-start` of all, or of the services named at its end."""
        named = tuple(name for name in argv if name in {*STACK.services, "zero"})
        self.creations.append(named)
        if "gpu" in (named or STACK.services):
            raise Failed(f"{SAID} with canary-token", where="create")
        if "zero" in named:
            del self.there["zero"]
            return ""
        for name in named:
            self.there[name] = Container(name, f"p-{name}-1", name, state="created", image_id="i")
        return ""

    def start(self, container: str) -> None:
        self.there[container] = replace(self.there[container], state="running", started_at="2026-01-01T00:00:00Z")

    def glance(self, project: str) -> Observed:
        return Observed(tuple(self.there.values()))

    def observe_service(self, project: str, service: str) -> tuple[Container, ...]:
        return self.glance(project).of(service)

    def inspect(self, container: str) -> Container | None:
        return self.there.get(container)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    world = World()
    monkeypatch.setattr("flows.carry_out.Watch", _NoWatch)
    monkeypatch.setattr(
        "flows.nodes.await_ready", lambda work, step, watch: ready.Proof("running", "it runs", 0.1)
    )
    found = ResolvedStack("p", Project((str(tmp_path / "compose.yml"),)), tmp_path, None, {})
    engine, cli = cast(Engine, world), cast(ComposeCli, world)
    made = Work(Home(tmp_path), found, STACK, engine, cli, Redactor().also(["canary-token"]))
    made.seen = world.glance("p")
    return made


class _NoWatch:
    def __init__(self, *_: object) -> None: ...

    def __enter__(self) -> _NoWatch:
        return self

    def __exit__(self, *_: object) -> None: ...


def test_a_failed_creation_is_the_failure_of_its_service_only(work: Work) -> None:
    """Compose's own words are in the error, secrets hidden; who depends on it names it, the others go on."""
    plan = decide(STACK, work.seen, Evidence(images=IMAGES, dry_run={"old": "unchanged"}))
    report = apply(work, plan, ThreadRunner())
    outcomes = report.outcomes
    assert (outcomes["gpu"].state, outcomes["after"].state) == ("failed", "upstream failed")
    assert SAID in outcomes["gpu"].reason
    assert "gpu" in outcomes["after"].reason
    assert outcomes["web"].ok
    assert outcomes["old"].ok
    assert any(SAID in error for error in report.errors)
    assert "canary-token" not in report.model_dump_json()


def test_what_is_there_does_not_wait_for_the_creation(work: Work) -> None:
    """A service that only has to be started goes at once; what Compose makes waits for the creation's end."""
    from flows.nodes import Nodes

    plan = decide(STACK, work.seen, Evidence(images=IMAGES, dry_run={"old": "unchanged"}))
    nodes = {node.key: node for node in Nodes(work, plan, cast(Any, None), {}).all()}
    assert "create" not in nodes["ready:old"].waits_for
    assert nodes["ready:web"].optional == ("create",)
    assert "create" not in nodes["ready:after"].waits_for, "it waits through gpu"


def test_what_is_scaled_to_zero_is_taken_away_and_not_waited_for(work: Work) -> None:
    """Its containers go, nothing is started, and the report calls that right."""
    zero = parse_stack({"name": "p", "services": {"zero": {"image": "x", "deploy": {"replicas": 0}}}})
    world = cast(World, work.engine)
    world.there = {"zero": Container("zero", "p-zero-1", "zero", state="running", image_id="i")}
    work.stack, work.seen = zero, world.glance("p")
    report = apply(work, decide(zero, work.seen, Evidence(images={"zero": "i"})), ThreadRunner())
    assert (report.outcomes["zero"].state, report.exit_code) == ("removed", 0)
    assert not world.there
    assert world.creations == [("zero",)]

"""Fifty services in five layers: our whole command against Docker Compose's."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.engine import first_created, last_judged_healthy, ready_moments, remove
from bench.place import Place, Run, run
from bench.projects import DOCUMENT, LAYERS, STARTING, WIDTH, Project, layered, written
from bench.tally import Row, Tally
from blocks.polling import poll

READY_LINE = re.compile(r"^\s*(\S+)\s+ready after ")
EMPTY = "from prefect import flow\n@flow\ndef empty(): pass\nempty()"

WHOLE = "whole command, against `up -d --wait`"
ROWS = (
    Row(f"document's health checks: {WHOLE}", "document: ours", "document: up --wait", ">= 10 x", inverse=True),
    Row(
        "the same, first create to last ready (ours: noticed), against flat `up -d`",
        "document: ours, made to noticed",
        "flat: up, made to ready",
        "<= 1.15 x",
    ),
    Row(
        "the same from our call of Compose on, against flat `up -d` as a whole command, ready or not",
        "document: ours, create to ready",
        "flat: up",
    ),
    Row(f"`start_interval: 1s`: {WHOLE}", "soon: ours", "soon: up --wait", "<= 1 x"),
    Row(
        "the same, first create to last ready (ours: noticed)",
        "soon: ours, made to noticed",
        "soon: up --wait, made to healthy",
        "< 1 x",
    ),
    Row("an empty flow run, whole command: Prefect's own start", "empty flow run"),
    Row("nothing to do on 50, whole command", "nothing to do"),
    Row("nothing to do on 50, beyond an empty flow run", "nothing to do, beyond Prefect", "", "<= 1.5 s"),
    Row("verify 50, level alive: the probes", "verify alive", "", "<= 1 s"),
    Row("really ready to noticed, each service", "noticed after ready", "", "median <= 100 ms", "ms"),
)


@dataclass
class Comparison:
    """The projects, each with a subnet of its own."""

    place: Place
    tally: Tally

    def __post_init__(self) -> None:
        self.document = self._project("t-bench-document", DOCUMENT, 250)
        self.soon = self._project("t-bench-soon", STARTING, 251)
        self.flat = self._project("t-bench-flat", None, 252)

    def _project(self, name: str, check: dict[str, object] | None, subnet: int) -> Project:
        project = written(self.place.files, name, layered(check, f"10.213.{subnet}.0/24"))
        remove(project)  # what a killed bench left
        return project

    @property
    def projects(self) -> tuple[Project, ...]:
        """All of them, for the broom."""
        return (self.document, self.soon, self.flat)

    def pair(self, *, slow: bool) -> None:
        """One round of everything, alternating between theirs and ours.

        Args:
            slow: With Compose's own wait for the document's checks, which takes minutes.
        """
        self.flat_up()
        self.ours(self.document, "document", again=True)
        self.up_wait(self.soon, "soon")
        self.ours(self.soon, "soon")
        if slow:
            self.up_wait(self.document, "document")

    def ours(self, project: Project, name: str, *, again: bool = False) -> None:
        """Our deployment, then, if asked, nothing to do and a verification."""
        done = self._deploy(project)
        report = done.json
        self.tally.add(f"{name}: ours", done.seconds)
        self.tally.add(f"{name}: ours, create to ready", report["create_to_ready"])
        noticed, ready = _noticed(done), ready_moments(project)
        self.tally.add(f"{name}: ours, made to noticed", max(noticed.values()) - first_created(project))
        self.tally.add("noticed after ready", *(noticed[service] - at for service, at in ready.items()))
        if again:
            self._again(project)
        remove(project)

    def _again(self, project: Project) -> None:
        empty = self.place.python(EMPTY).require().seconds
        idle = self._deploy(project).seconds
        self.tally.add("empty flow run", empty)
        self.tally.add("nothing to do", idle)
        self.tally.add("nothing to do, beyond Prefect", idle - empty)
        words = ("verify", *_words(project), "--level", "alive", "--json")
        self.tally.add("verify alive", self.place.ops(*words).require().json["seconds"]["alive"])

    def _deploy(self, project: Project) -> Run:
        done = self.place.ops("deploy", *_words(project), "--json").require()
        if not done.json["recorded"]:
            raise SystemExit("the run was not recorded: this is not what is to be measured")
        return done

    def up_wait(self, project: Project, name: str) -> None:
        """Compose's own deployment and wait."""
        done = run(project.compose("up", "-d", "--wait")).require()
        self.tally.add(f"{name}: up --wait", done.seconds)
        took = last_judged_healthy(project) - first_created(project)
        self.tally.add(f"{name}: up --wait, made to healthy", took)
        remove(project)

    def flat_up(self) -> None:
        """Compose's own start of the same services without dependencies and checks: as fast as it can."""
        done = run(self.flat.compose("up", "-d")).require()
        if not poll(lambda: len(ready_moments(self.flat)) == LAYERS * WIDTH, 60, every=0.3):
            raise SystemExit("not every service of the flat project became ready")
        self.tally.add("flat: up", done.seconds)
        took = max(ready_moments(self.flat).values()) - first_created(self.flat)
        self.tally.add("flat: up, made to ready", took)
        remove(self.flat)


def _words(project: Project) -> tuple[str, ...]:
    return ("--file", str(project.file), "--project-name", project.name)


def _noticed(done: Run) -> dict[str, float]:
    """When our line said that a service is ready."""
    return {found[1]: at for at, line in done.said if (found := READY_LINE.match(line))}

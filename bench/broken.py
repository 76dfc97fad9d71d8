"""A broken update of a service that starts in under a second, rolled back: how soon is it noticed and undone."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from bench.engine import docker, remove
from bench.place import Place, Run
from bench.projects import PORT, Project, server, written
from bench.tally import Row, Tally
from blocks.polling import poll
from compose.stack.errors import Exit
from compose.stack.observed import PROJECT

PUBLISHED = 21590
SUBNET = "10.213.253.0/24"
VARIANTS = {"exits": "no", "crash loop": "unless-stopped"}

ROWS = tuple(
    row
    for name, how in (("exits", "it exits"), ("crash loop", "it restarts for ever: third exit"))
    for row in (
        Row(f"broken update, {how}: noticed", f"broken, {name}: noticed", "", "<= 3 s"),
        Row("the same: old version serves again, after it was noticed", f"broken, {name}: back", "", "<= 5 s"),
        Row("the same: seconds without service", f"broken, {name}: gap"),
    )
)


@dataclass
class Visitor:
    """Asks the published port all the time and writes down when it answers."""

    answers: list[tuple[float, bool]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Visitor:
        self._thread = threading.Thread(target=self._visit, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _visit(self) -> None:
        while not self._over.wait(0.03):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{PUBLISHED}/", timeout=1) as answer:
                    served = answer.read().strip() == b"old"
            except OSError:
                served = False
            self.answers.append((time.time(), served))

    def first_after(self, at: float, served: bool = True) -> float:
        """The first answer of this kind from a moment on; waits for it."""
        found: list[float] = []

        def look() -> bool:
            found[:] = [when for when, what in self.answers if when >= at and what is served]
            return bool(found)

        if not poll(look, 30):
            raise SystemExit(f"no answer that is {'the old one' if served else 'another'}")
        return found[0]


def project(place: Place, restart: str, *, broken: bool) -> Project:
    """Two services, the second of which is broken by the update."""
    app: dict[str, Any] = {
        **server("0.2", "old"),
        "restart": restart,
        "ports": [f"127.0.0.1:{PUBLISHED}:{PORT}"],
        "healthcheck": {"test": ["CMD", "wget", "-q", "-O-", f"http://localhost:{PORT}/"], "interval": "30s"},
        "depends_on": ["store"],
    }
    if broken:
        app["command"] = ["sh", "-c", "sleep 0.2; false"]
    networks = {"default": {"ipam": {"config": [{"subnet": SUBNET}]}}}
    content = {"services": {"store": server("0.2"), "app": app}, "networks": networks}
    return written(place.files, "t-bench-broken", content)


def measure(place: Place, tally: Tally, name: str) -> None:
    """Deploy, break it, watch it come back."""
    whole = project(place, VARIANTS[name], broken=False)
    words = ("--file", str(whole.file), "--project-name", whole.name)
    try:
        place.ops("deploy", *words, "--json").require()
        with Visitor() as visitor:
            project(place, VARIANTS[name], broken=True)
            done = place.ops("deploy", *words, "--rollback-on-failure", "--json").require(Exit.ROLLED_BACK)
            back = visitor.first_after(noticed := _noticed(done))
        fact = _ends(whole, done)[0 if name == "exits" else 2]
        gone = visitor.first_after(done.began, served=False)
        tally.add(f"broken, {name}: noticed", noticed - fact)
        tally.add(f"broken, {name}: back", back - noticed)
        tally.add(f"broken, {name}: gap", back - gone)
    finally:
        remove(whole)


def _noticed(done: Run) -> float:
    return next(at for at, line in done.said if "bringing release" in line)


def _ends(project: Project, done: Run) -> list[float]:
    """When containers of the broken version ended, from the engine's events."""
    lines = docker(
        "events", "--since", str(int(done.began)), "--until", str(int(time.time()) + 1), "--format", "{{json .}}",
        "--filter", "event=die", "--filter", f"label={PROJECT}={project.name}",
    ).splitlines()  # fmt: skip
    events = [json.loads(line) for line in lines]
    return sorted(one["timeNano"] / 1e9 for one in events if one["Actor"]["Attributes"].get("exitCode") == "1")

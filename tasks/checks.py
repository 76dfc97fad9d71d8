"""The checks of a verification: every service at one level, many at once."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from blocks.engine import Engine
from blocks.working import Scene, prove
from blocks.working.backend import down
from blocks.working.scene import Broken, NotProven, call, place_of
from compose.stack.catalogue import Catalogue
from compose.stack.causes import cause_of_exit
from compose.stack.inference import readiness_of
from compose.stack.observed import Container, Observed
from compose.stack.probes import Answer, ExecProbe, HttpProbe, Probe, Readiness
from compose.stack.round_trips import BackendTrip, ready_probe, trip_of
from compose.stack.service import Stack
from compose.stack.verdicts import Finding, Level, Mark
from compose.stack.verification import mark_of, presence
from tasks.asking import ask_once

log = logging.getLogger("ops.verify")
AT_ONCE = 32


@dataclass
class Checks:
    """The checks of one stack as it was observed.

    Args:
        findings: All so far, from shallow to deep; each level looks at those before it.
    """

    stack: Stack
    observed: Observed
    engine: Engine
    catalogue: Catalogue
    findings: list[Finding] = field(default_factory=list)

    def run(self, level: Level, services: Iterable[str]) -> list[Finding]:
        """Check services at one level, all at once; what was found, which is remembered too."""
        check = {Level.ALIVE: self._alive, Level.READY: self._ready, Level.WORKING: self._working}[level]
        names = list(services)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="verify") as pool:
            results = pool.map(lambda name: self._guarded(check, name, level), names)
            found = [finding for result in results for finding in result]
        self.findings += found
        return found

    def _guarded(self, check: Callable[[str], list[Finding]], name: str, level: Level) -> list[Finding]:
        try:
            return check(name)
        except Exception as error:  # a check that breaks proves nothing about the others
            log.exception("the check of %s at level %s broke", name, level)
            said = f"the check itself broke: {type(error).__name__}"
            return [Finding(name, level, Mark.FAILED, "check", said)]

    @property
    def failed(self) -> list[str]:
        """The services that failed so far."""
        return list(dict.fromkeys(f.service for f in self.findings if f.mark is Mark.FAILED))

    def seen(self, name: str) -> Mark:
        """What is known of a service so far."""
        marks = {finding.mark for finding in self.findings if finding.service == name}
        if Mark.FAILED in marks:
            return Mark.FAILED
        proven = any(f.level is Level.READY and f.mark is Mark.PASSED for f in self.findings if f.service == name)
        return Mark.PASSED if proven else Mark.NOT_PROVEN

    def _alive(self, name: str) -> list[Finding]:
        containers = self.observed.of(name)
        told = presence(self.stack, name, containers, Level.ALIVE)
        if told is not None:
            return [self._with_cause(told, containers)]
        own = readiness_of(self.stack, name)
        service = self.stack[name]
        port = getattr(own.probe, "port", None)
        known = any(entry.target == port for entry in service.ports)
        found = []
        for container in (c for c in containers if c.running):
            answer = self._explained(own.probe, container, self._once(own, container))
            mark = mark_of(answer, own, known)
            found.append(_finding(container, Level.ALIVE, mark, own.probe, answer))
        return found

    def _ready(self, name: str) -> list[Finding]:
        if self.seen(name) is Mark.FAILED:
            return []
        containers = self.observed.of(name)
        told = presence(self.stack, name, containers, Level.READY)
        if told is not None:
            return [told]
        probe, own = ready_probe(self.stack, name), readiness_of(self.stack, name)
        if probe is None:
            return [_unproven(name, Level.READY, "it has no readiness route: only its port or process is known")]
        if probe == own.probe:
            return [f for f in self._again(name) if f.mark is not Mark.NOT_PROVEN] or [
                _unproven(name, Level.READY, "its own probe proves nothing")
            ]
        found = []
        for container in (c for c in containers if c.running):
            answer = self._explained(probe, container, self._once(own, container, probe))
            if answer.silent and isinstance(own.probe, ExecProbe):
                return self._again(name)  # its protocol cannot be spoken from here; its declared check was run
            mark = Mark.PASSED if answer.ok else Mark.NOT_PROVEN if answer.silent else Mark.FAILED
            found.append(_finding(container, Level.READY, mark, probe, answer))
        return found

    def _again(self, name: str) -> list[Finding]:
        """The answers to the own probe, which asks the readiness route already."""
        alive = [f for f in self.findings if f.service == name and f.level is Level.ALIVE]
        return [Finding(name, Level.READY, f.mark, f.check, f.detail, f.seconds) for f in alive]

    def _working(self, name: str) -> list[Finding]:
        trip = trip_of(self.stack, name)
        containers = [container for container in self.observed.of(name) if container.running]
        if self.seen(name) is Mark.FAILED and not (containers and isinstance(trip, BackendTrip)):
            return []
        told = presence(self.stack, name, self.observed.of(name), Level.WORKING)
        if told is not None and told.mark is Mark.PASSED:
            return [told]
        if trip is None:
            return [_unproven(name, Level.WORKING, "no working check is known")]
        seen = {other: self.seen(other) for other in self.stack.services}
        scene = Scene(self.stack, self.observed, self.catalogue, self.engine.run_in, seen)
        return [finding for container in containers for finding in prove(trip, container, scene)]

    def _once(self, own: Readiness, container: Container, probe: Probe | None = None) -> Answer:
        return ask_once(own, container, self.engine.run_in, math.inf, probe)

    def _explained(self, probe: Probe, container: Container, answer: Answer) -> Answer:
        if answer.ok or not answer.reached or not isinstance(probe, HttpProbe):
            return answer
        return replace(answer, detail=f"{answer.detail}{_down(probe, container)}")

    def _with_cause(self, finding: Finding, containers: Sequence[Container]) -> Finding:
        """The finding with why the container ended, where the engine or its last words tell."""
        ended = next((c for c in containers if c.state in ("exited", "dead") and c.exit_code), None)
        if finding.mark is not Mark.FAILED or ended is None:
            return finding
        cause = cause_of_exit(ended, self.engine.logs(ended.id, 12))
        return Finding(finding.service, finding.level, finding.mark, finding.check, cause)


def _down(probe: HttpProbe, container: Container) -> str:
    """What a health report says is down, when that is why the probe failed."""
    try:
        said = down(call("GET", f"http://{place_of(container, probe.port)}{probe.path}", 5.0))
    except (Broken, NotProven):
        return ""
    return f"; {said}" if said else ""


def _finding(container: Container, level: Level, mark: Mark, probe: Probe, answer: Answer) -> Finding:
    which = f"#{container.number} " if container.number > 1 else ""
    return Finding(container.service, level, mark, str(probe), f"{which}{answer.detail}", answer.seconds)


def _unproven(name: str, level: Level, why: str) -> Finding:
    return Finding(name, level, Mark.NOT_PROVEN, "none", why)


def timed(work: Callable[[], object]) -> float:
    """How long something took, in seconds."""
    began = time.monotonic()
    work()
    return time.monotonic() - began

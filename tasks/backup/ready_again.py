"""Starting what was stopped, in the order of dependencies, and waiting until it is proven ready."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence

from compose.stack.backup.stop_journal import StoppedContainer
from compose.stack.causes import cause_of_exit
from compose.stack.errors import Failed, OpsError
from compose.stack.graph import graph_of
from compose.stack.inference import readiness_of, with_image_check
from compose.stack.observed import Container
from compose.stack.probes import ExecProbe, ExitProbe, Readiness, RunningProbe
from compose.stack.service import Stack
from tasks.asking import Asking
from tasks.work import Work

log = logging.getLogger("ops.backup")
EVERY, EXEC_EVERY = 0.1, 0.5
SETTLED = 1.0
UNKNOWN = Readiness(RunningProbe(), "no service of the file", binding=False, within=30.0)
ENDED = {"exited", "dead"}


def layers(stack: Stack, services: Iterable[str]) -> list[tuple[str, ...]]:
    """Services in groups that can be started together: dependencies first, strangers to the file last."""
    wanted = list(dict.fromkeys(services))
    graph = dict(graph_of(stack, [name for name in wanted if name in stack.services]))
    made: list[tuple[str, ...]] = []
    done: set[str] = set()
    while graph:
        ripe = tuple(name for name, needs in graph.items() if needs <= done) or tuple(graph)
        made.append(ripe)
        done |= set(ripe)
        graph = {name: needs for name, needs in graph.items() if name not in done}
    strangers = tuple(name for name in wanted if name not in stack.services)
    return [*made, strangers] if strangers else made


def start_again(work: Work, containers: Sequence[StoppedContainer]) -> None:
    """Start all of them and wait until each is ready; one that fails does not keep the others down.

    Raises:
        Failed: Some could not be started or are not ready in time; all are named, none is stopped.
    """
    wrong: list[str] = []
    for group in layers(work.stack, [one.service for one in containers]):
        started = []
        for one in (c for c in containers if c.service in group):
            try:
                work.engine.start(one.id)
                started.append(one)
            except OpsError as error:
                wrong.append(f"{one.name} cannot be started: {error.what}")
        for one in started:
            try:
                await_container(work, one)
            except OpsError as error:
                wrong.append(f"{one.name}: {error.what}")
    if wrong:
        names = " ".join(dict.fromkeys(c.service for c in containers))
        raise Failed(
            work.redactor.text("; ".join(wrong)), where="start again", next=f"./ops status, ./ops logs {names}"
        )


def await_container(work: Work, one: StoppedContainer) -> None:
    """Wait until a container that was just started is proven ready; it is never stopped here.

    Raises:
        Failed: It ended, or was not ready in time although its author declared how to tell.
    """
    _Wait(work, one).until_ready()


class _Wait:
    """One container's wait."""

    def __init__(self, work: Work, one: StoppedContainer) -> None:
        self.work, self.one = work, one
        self.container = self._look()
        self.readiness = self._readiness()
        self.began = self.looked = time.monotonic()
        self.asking = Asking(self.readiness, work.engine.run_in, self.began)
        self.restarts = self.container.restarts
        self.said = "not asked yet"

    def until_ready(self) -> None:
        probe = self.readiness.probe
        if isinstance(probe, ExitProbe):
            return  # a job goes on; nobody waits for its end here
        every = EXEC_EVERY if isinstance(probe, ExecProbe) else EVERY
        while not self._ready():
            if time.monotonic() - self.began > self.readiness.within:
                if not self.readiness.binding:
                    log.warning("%s runs, but is not proven ready: %s", self.one.name, self.said)
                    return
                raise Failed(
                    f"not ready within {self.readiness.within:.0f} s: {self.said}", where=self.one.service
                )
            time.sleep(every)

    def _ready(self) -> bool:
        now = time.monotonic()
        if now - self.looked > SETTLED or not self.container.running:
            self.container, self.looked = self._look(), now
            self._still_there()
        if isinstance(self.readiness.probe, RunningProbe):
            self.said = self.container.state
            return self.container.running and now - self.began > SETTLED and self.looked > self.began
        answer = self.asking.ask(self.container)
        self.said = answer.detail
        return answer.ok

    def _still_there(self) -> None:
        ended = self.container.state in ENDED and self.container.restart_policy in ("", "no")
        looping = self.container.restarts - self.restarts >= 3
        if self.container.state in ENDED and self.container.exit_code == 0 and not self.readiness.binding:
            return
        if ended or looping:
            said = self.work.redactor.text(self.work.engine.logs(self.one.id, 12))
            raise Failed(cause_of_exit(self.container, said, ""), where=self.one.service)

    def _look(self) -> Container:
        now = self.work.engine.inspect(self.one.id)
        if now is None:
            raise Failed("its container was removed by somebody else", where=self.one.service)
        return now

    def _readiness(self) -> Readiness:
        name, stack = self.one.service, self.work.stack
        if name not in stack.services:
            return UNKNOWN
        return with_image_check(stack, readiness_of(stack, name), stack[name], self.container)

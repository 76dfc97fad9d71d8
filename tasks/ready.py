"""Waiting until a service is proven ready, and telling why it is not."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from compose.stack.causes import cause_of_exit
from compose.stack.errors import Failed
from compose.stack.inference import ended_well, is_oneshot, with_image_check
from compose.stack.observed import Container
from compose.stack.plan import Action, Step, restarts
from compose.stack.probes import Answer, ExecProbe, ExitProbe, RunningProbe
from tasks.asking import Asking, ask_once
from tasks.start import containers_of
from tasks.watch import Watch
from tasks.work import Work

EVERY = 0.1
AT_FIRST = 0.05
YOUNG = 3.0
EXEC_EVERY = 0.5
LOOK_EVERY = 1.0
SETTLED = 1.0
CRASHES = 3
KILLED = 137
ENDED_WELL = "it ended by itself with exit code 0"
CAUSE_PATIENCE = 0.5


@dataclass(frozen=True)
class Proof:
    """How a service proved itself.

    Args:
        state: `ready`, `running` (nothing proves more) or `completed`.
        how: The probe's answer, for people.
        seconds: From its turn until the proof.
    """

    state: str
    how: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.state} after {self.seconds:.1f} s ({self.how})"


def await_ready(work: Work, step: Step, watch: Watch) -> Proof:
    """Wait until every container of a service is proven ready.

    Raises:
        Failed: It ended, crashed three times, or was not ready in time; with its cause and last words.
    """
    began = work.moments.get(f"turn:{step.service}", time.monotonic())
    waiting = _Waiting(work, step, watch)
    proofs = [waiting.prove(container) for container in containers_of(work, step.service)]
    now = time.monotonic()
    work.moments[f"ready:{step.service}"] = now
    state, how = proofs[-1] if proofs else ("running", "no container")
    proof = Proof(state, how, now - began)
    work.say(step.service, str(proof))
    return proof


def ready_now(work: Work, step: Step) -> Answer:
    """Ask every container of a service, as the plan saw it, once; a probe that only informs always passes."""
    answers = []
    for container in work.seen.of(step.service):
        readiness = with_image_check(work.stack, step.readiness, work.stack[step.service], container)
        answer = ask_once(readiness, container, work.engine.run_in, 0.0)
        # what nobody can ask from here is not waited for again at each deployment
        passes = not readiness.binding or (answer.silent and readiness.fallback is None)
        answers.append(replace(answer, ok=True, detail=_unproven(answer)) if passes else answer)
    bad = [answer for answer in answers if not answer.ok]
    return (bad or answers or [Answer(False, "it has no container")])[0]


def _unproven(answer: Answer) -> str:
    return answer.detail if answer.ok else f"not proven: {answer.detail}"


class _Waiting:
    """One service's wait."""

    def __init__(self, work: Work, step: Step, watch: Watch) -> None:
        self.work, self.step, self.watch = work, step, watch
        self.service = work.stack[step.service]
        self.readiness = step.readiness
        self.oneshot = is_oneshot(work.stack, step.service)
        self.since = self.calm_since = time.monotonic()
        self.asking = Asking(self.readiness, work.engine.run_in, self.since)
        self.ends = self.restarts = 0

    def prove(self, container: Container) -> tuple[str, str]:
        """Wait for one container."""
        self.readiness = with_image_check(self.work.stack, self.step.readiness, self.service, container)
        self.asking = Asking(self.readiness, self.work.engine.run_in, self.since)
        self.restarts, self.ends = container.restarts, self.watch.ends(container.id)
        ends_before = 0 if self.step.action is not Action.UNCHANGED else self.watch.ends(container.id)
        looked = time.monotonic()
        while True:
            if self.watch.ends(container.id) > ends_before or time.monotonic() - looked > LOOK_EVERY:
                looked = time.monotonic()
                container = self._look(container)
                done = self._ended(container)
                if done:
                    return done
            answer = self._ask(container)
            if answer.ok:
                return ("running" if isinstance(self.readiness.probe, RunningProbe) else "ready"), answer.detail
            if not self.readiness.binding and container.running and not container.address:
                calm = self._calm(container)
                if calm.ok:
                    return "running", f"not proven: {answer.detail}"
            if self.work.abort.is_set():
                raise Failed("no longer waited for: the deployment is being rolled back", where=self.step.service)
            if time.monotonic() - self.since > self.readiness.patience(answer):
                return self._too_late(container, answer)
            self.watch.wait(EXEC_EVERY if isinstance(self.readiness.probe, ExecProbe) else EVERY)

    def _look(self, container: Container) -> Container:
        now = self.work.engine.inspect(container.id)
        if now is None:
            raise Failed("its container was removed by somebody else", where=self.step.service, next="./ops plan")
        return now

    def _ask(self, container: Container) -> Answer:
        probe = self.readiness.probe
        if isinstance(probe, ExitProbe):
            return Answer(False, "still at work")
        if isinstance(probe, RunningProbe):
            return self._calm(container)
        return self.asking.ask(container, healthy=self.watch.healthy(container.id))

    def _calm(self, container: Container) -> Answer:
        """Whether a container of which nothing can be asked runs, and has not ended for a while."""
        said = f"runs for {SETTLED:.0f} s; nothing more can be asked"
        ends = self.watch.ends(container.id)
        if ends != self.ends:
            self.ends, self.calm_since = ends, time.monotonic()
        if time.monotonic() - self.calm_since <= SETTLED:
            return Answer(False, "has just started")
        now = self._look(container)
        if now.restarts != self.restarts or not now.running:
            self.restarts, self.calm_since = now.restarts, time.monotonic()
            return Answer(False, f"is {now.state}")
        return Answer(True, said)

    def _ended(self, container: Container) -> tuple[str, str] | None:
        if ended_well(self.work.stack, self.step.service, container):
            return "completed", "exit code 0" if self.oneshot else ENDED_WELL
        looping = self.watch.ends(container.id) >= CRASHES
        if (
            container.state in {"exited", "dead"} and (not restarts(self.service) or container.exit_code == 0)
        ) or looping:
            said = self.work.engine.logs(container.id, 12)
            limit = ""
            if container.exit_code == KILLED and not container.oom_killed:
                out = self.watch.ran_out_of_memory(container.id, CAUSE_PATIENCE)
                container = replace(container, oom_killed=out)
                limit = "" if self.watch.asked_to_end(container.id) else self.service.limit("memory") or ""
            what = cause_of_exit(container, said, limit)
            if looping:
                what = f"it crashed {self.watch.ends(container.id)} times: {what}"
            raise self.failure(what, said, container)
        return None

    def _too_late(self, container: Container, answer: Answer) -> tuple[str, str]:
        within = self.readiness.patience(answer)
        if not self.readiness.binding or answer.silent:
            return "running", f"not proven: {answer.detail} for {within:.0f} s"
        said = self.work.engine.logs(container.id, 12)
        raise self.failure(f"not ready within {within:.0f} s: {answer.detail}", said, container)

    def failure(self, what: str, said: str, container: Container) -> Failed:
        """The error with the container's last words; what was started here stays, stopped, for inspection."""
        if container.state != "exited" and self.step.action is not Action.UNCHANGED:
            self.work.engine.stop(container.id)
        words = "\n".join(f"    | {line}" for line in self.work.redactor.text(said).splitlines()[-8:])
        text = self.work.redactor.text(what) + (f"\n{words}\n" if words else "")
        return Failed(text, where=self.step.service, next=f"./ops logs {self.step.service}")

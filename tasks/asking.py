"""Asking a container whether it is ready: by its probe, and where that cannot tell, by its declared check."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from blocks.probing import ExecInContainer, ask
from compose.stack.observed import Container
from compose.stack.probes import Answer, Probe, Readiness

BY_THE_ENGINE = "the engine's own run of its health check passed"


@dataclass
class Asking:
    """One container's readiness, asked again and again while it starts.

    Args:
        readiness: How it is proven.
        run: Runs a command in a container.
        began: When it was started, on the monotonic clock.
    """

    readiness: Readiness
    run: ExecInContainer
    began: float = field(default_factory=time.monotonic)
    ran_inside: float = field(init=False)
    inside_said: str = ""

    def __post_init__(self) -> None:
        self.ran_inside = self.began

    def ask(self, container: Container, *, healthy: bool = False) -> Answer:
        """Ask it once more.

        Args:
            container: As it was last observed.
            healthy: The engine's own health check passed meanwhile.
        """
        answer = ask(self.readiness.probe, container, self.run, self.readiness.limit)
        now = time.monotonic()
        if answer.ok or not self.readiness.inside_counts(answer, now - self.began):
            return answer
        if healthy or container.health == "healthy":
            return replace(answer, ok=True, detail=BY_THE_ENGINE)
        if now - self.ran_inside >= self.readiness.pause_inside(answer):
            self.ran_inside = now
            inside = _inside(self.readiness, container, self.run, answer)
            if inside.ok:
                return inside
            self.inside_said = inside.detail
        # once its own check said no, it is not a matter of the network any more
        return replace(answer, reached=True, detail=self.inside_said) if self.inside_said else answer


def ask_once(
    readiness: Readiness,
    container: Container,
    run: ExecInContainer,
    waited: float,
    probe: Probe | None = None,
) -> Answer:
    """Ask a container once, its declared check at once where the probe cannot tell.

    Args:
        waited: Seconds since its start, where PostgreSQL's first start may be going on; else infinite.
        probe: Another question than its own; the declared check then counts only where nothing answers.
    """
    answer = ask(probe or readiness.probe, container, run, readiness.limit)
    if answer.ok or (probe and answer.reached) or not readiness.inside_counts(answer, waited):
        return answer
    return _inside(readiness, container, run, answer)


def _inside(readiness: Readiness, container: Container, run: ExecInContainer, first: Answer) -> Answer:
    """What the declared check says, run in the container, after the probe's no."""
    if readiness.fallback is None:
        return first
    found = ask(readiness.fallback, container, run)
    if found.ok:
        why = f"over the network: {first.detail}" if first.reached else "its address does not answer from here"
        return replace(found, detail=f"its health check passed, run inside: {why}")
    return replace(found, detail=f"{first.detail}; its health check, run inside: {found.detail}")

"""Stopping services for a copy, and bringing them back whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

from compose.stack.backup.stop_journal import StoppedContainer
from compose.stack.errors import Refused
from compose.stack.graph import with_sharers
from tasks.backup.procedure import Downtime
from tasks.backup.ready_again import layers
from tasks.backup.stop_window import DOWN, Held, Window
from tasks.backup.watchdog import revive
from tasks.work import Work

LIMIT = 300.0
"""Seconds that services may be stopped where `x-ops.backup.stop_limit` says nothing."""
Exclusive = Callable[[], AbstractContextManager[object]]


@dataclass
class Stopper:
    """Stops services of one stack; obeys `tasks.backup.procedure.Stopping`.

    Several threads may stop services at once, the same ones too: a container is started when the last of them
    lets it go.

    Args:
        exclusive: Entered from before the first stop until all are ready: the stack's lock.
        guarded: Starts the process that brings services back when this one dies; off in tests of other things.
    """

    work: Work
    exclusive: Exclusive = nullcontext
    guarded: bool = True
    held: Held = field(default_factory=Held)

    @contextmanager
    def stopped(self, services: tuple[str, ...], why: str, *, clean: bool = True) -> Iterator[Downtime]:
        """Stop every container of these services that runs, start them after the block, wait until they are ready.

        Args:
            services: Those that share a namespace with them are stopped with them.
            why: For whoever finds them stopped.
            clean: An end by SIGKILL is not accepted: once more with a longer grace, then Failed.

        Raises:
            Failed: They did not end cleanly, stood still for longer than they may, or are not ready again.
            Refused: One is paused, or nobody could be found to guard the stop; nothing was stopped.
        """
        with self.exclusive():
            revive(self.work.home, self.work.engine)
            found, limit = self._running(services), self.limit_of(services)
            window = Window(self.work, self.held, self.guarded, found, limit, why, clean)
            with window.open():
                yield window.downtime

    def limit_of(self, services: Sequence[str]) -> float:
        """Seconds that these services may be stopped: the least that any of them says."""
        known = [self.work.stack[name] for name in services if name in self.work.stack.services]
        told = [s.hints.backup.stop_limit for s in known if s.hints.backup.stop_limit]
        return min(told, default=LIMIT)

    def _running(self, services: Sequence[str]) -> list[StoppedContainer]:
        """What has to be stopped, in the order in which it is started again; ours that others stopped included."""
        wanted = with_sharers(self.work.stack, services)
        seen = self.work.engine.observe(self.work.name)
        ids = {c.id for name in wanted for c in seen.of(name)}
        ids |= {c.id for c in seen.containers if c.network_mode.removeprefix("container:") in ids}
        found = [c for c in seen.containers if c.id in ids and (c.state not in DOWN or self.held.count[c.id])]
        paused = [c.name for c in found if c.state == "paused"]
        if paused:
            raise Refused(
                f"{', '.join(paused)} is paused", where="stop", next=f"docker unpause {' '.join(paused)}"
            )
        order = {
            name: at
            for at, group in enumerate(layers(self.work.stack, [c.service for c in found]))
            for name in group
        }
        found.sort(key=lambda c: (order[c.service], c.service, c.number))
        return [StoppedContainer(c.id, c.name, c.service) for c in found]

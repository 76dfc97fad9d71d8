"""Whose turn it is: one backup of a stack at a time, and nobody else while containers are touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from blocks.lock import SharedLock, shared_lock, stack_lock
from tasks.backup.procedure import Downtime, Stopping
from tasks.work import Work

PATIENCE = 600.0
"""Seconds that a stop waits for a deployment or another reader to let go."""


@contextmanager
def turn(work: Work, what: str) -> Iterator[SharedLock]:
    """Take a turn: others may look at the stack meanwhile, nobody changes it, and no second backup begins.

    Raises:
        Locked: Another backup runs, or somebody changes the stack; the holder is named.
    """
    engine = work.engine.id
    with backup_turn(engine, work.name, what), shared_lock(engine, work.name, what) as lock:
        yield lock


@contextmanager
def backup_turn(engine: str, project: str, what: str) -> Iterator[None]:
    """Be the only one who changes the backups of a stack.

    Raises:
        Locked: A backup, copy, expiry or change of keys runs; the holder is named.
    """
    with stack_lock(engine, f"{project} (backups)", what):
        yield


@dataclass(frozen=True)
class Alone:
    """Stops services while it has the stack's lock alone."""

    lock: SharedLock
    stopping: Stopping

    @contextmanager
    def stopped(self, services: tuple[str, ...], why: str) -> Iterator[Downtime]:
        """Wait for the lock, stop, and start again whatever happens."""
        with self.lock.alone(PATIENCE), self.stopping.stopped(services, why) as downtime:
            yield downtime

"""Keeps the worker processes alive and frees what a dead one held."""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field

import redis

from task_coordinator.queue import Queue

log = logging.getLogger("coordinator.supervisor")
GRACE = 0.4
LONGEST_PAUSE = 10.0


@dataclass
class Slot:
    """One place for a worker process."""

    name: str = ""
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    held: set[str] = field(default_factory=set)

    def state(self) -> dict[str, object]:
        """Return who works here as /health shows it; `pid` is the one inside the container."""
        alive = self.process is not None and self.process.poll() is None
        pid = self.process.pid if self.process else None
        return {"name": self.name, "pid": pid, "alive": alive, "restarts": max(0, self.starts - 1)}


class Supervisor:
    """A thread per worker waits for its end, releases its claims and starts the next one."""

    def __init__(self, queue: Queue, workers: int) -> None:
        self.queue = queue
        self.slots = [Slot() for _ in range(workers)]
        self.stopping = threading.Event()
        self.threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start all workers."""
        for slot in self.slots:
            thread = threading.Thread(target=self._keep, args=(slot,), daemon=True, name="keeper")
            thread.start()
            self.threads.append(thread)

    def stop(self) -> None:
        """Stop all workers, by force after a moment; none is left."""
        self.stopping.set()
        running = [slot.process for slot in self.slots if slot.process]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + GRACE
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()

    def _keep(self, slot: Slot) -> None:
        pause = 0.0
        while not self.stopping.wait(pause):
            began = time.monotonic()
            code = self._run(slot)
            if self.stopping.is_set():
                return
            log.warning("worker %s ended with %d; starting another", slot.name, code)
            slot.held.add(slot.name)
            self._release(slot)
            lived = time.monotonic() - began
            pause = 0.0 if lived > LONGEST_PAUSE else min(LONGEST_PAUSE, max(0.1, pause * 2))

    def _run(self, slot: Slot) -> int:
        """Start one worker and wait for its end; return its exit code."""
        slot.name = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        slot.starts += 1
        argv = (sys.executable, "-m", "task_coordinator.worker", slot.name)
        slot.process = subprocess.Popen(argv, env=os.environ)
        if self.stopping.is_set():
            slot.process.terminate()
        return slot.process.wait()

    def _release(self, slot: Slot) -> None:
        """Free what dead workers of this slot hold; what fails now is tried after the next death or lease."""
        for name in sorted(slot.held):
            try:
                freed = self.queue.release(name)
            except redis.RedisError as error:
                log.warning("claims of %s wait for their lease to end: %s", name, error)
                return
            slot.held.discard(name)
            if freed:
                log.warning("worker %s died at work: %d task(s) go to another", name, freed)

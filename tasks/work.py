"""What every task of one run shares: the stack, the doors, the journal."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blocks.compose_cli import ComposeCli
from blocks.engine import Engine
from blocks.home import Home
from compose.stack.commands import Project
from compose.stack.errors import Refused
from compose.stack.observed import Observed
from compose.stack.redact import Redactor
from compose.stack.sealing import Flat
from compose.stack.service import Stack
from tasks.stacks import ResolvedStack, flat_of

JOURNAL = "journal.jsonl"
log = logging.getLogger("ops.deploy")
live = logging.getLogger("ops-live")
live.propagate = False
live.setLevel(logging.INFO)


@dataclass
class Work:
    """One run on one stack.

    Args:
        found: Where the stack comes from.
        stack: What is wanted.
        redactor: Hides the stack's secrets; applied to everything that leaves a task.
        moments: When what happened, on the monotonic clock.
        made: Ids of the containers that this run created, by service, as long as nothing replaced them.
        seen: The project's containers when the plan was made.
        flat: The project as one file, where it was made already.
        rolls_back: A failure brings the previous release back.
    """

    home: Home
    found: ResolvedStack
    stack: Stack
    engine: Engine
    cli: ComposeCli
    redactor: Redactor
    moments: dict[str, float] = field(default_factory=dict)
    made: dict[str, tuple[str, ...]] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    abort: threading.Event = field(default_factory=threading.Event)
    seen: Observed = field(default_factory=Observed)
    flat: Flat | None = None
    rolls_back: bool = False

    @property
    def project(self) -> Project:
        """The compose project."""
        return self.found.project

    @property
    def name(self) -> str:
        """The compose project's name, as in labels."""
        return self.stack.project

    @property
    def state(self) -> Path:
        """The stack's directory."""
        return self.found.state

    def flattened(self) -> Flat:
        """The project as one file, with a variable for each secret that comes by one."""
        return self.flat or flat_of(self.found, self.stack, self.cli)

    def require(self, services: Iterable[str]) -> None:
        """Check that services exist.

        Raises:
            Refused: Unknown ones, all named.
        """
        unknown = [name for name in services if name not in self.stack.services]
        if unknown:
            known = ", ".join(self.stack.services)
            raise Refused(f"unknown service {', '.join(unknown)}", where=self.found.name, next=f"one of: {known}")

    def say(self, service: str, what: str) -> None:
        """Tell people of progress; secrets are hidden."""
        log.info("%s", self.redactor.text(f"{service:<22} {what}"), extra={"service": service, "what": what})

    @contextmanager
    def waiting(self, service: str) -> Iterator[None]:
        """Show on a terminal that a service is worked on or waited for."""
        live.info("begin", extra={"service": service})
        try:
            yield
        finally:
            live.info("end", extra={"service": service})

    def journal(self, step: str, event: str, **facts: Any) -> None:
        """Append a line to the stack's journal: what a run that died was about to do.

        Args:
            step: Name of the step, such as `start:postgres`.
            event: `begin` or `end`.
        """
        line = {"at": datetime.now(UTC).isoformat(), "step": step, "event": event, **facts}
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.state / JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

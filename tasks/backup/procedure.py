"""What every component's procedure is given, does, and tells."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from compose.stack.backup.component import Component, Place
from compose.stack.backup.manifest import FileRecord, Level, PoolRecord
from tasks.work import Work


class Sink(Protocol):
    """One file of the backup while it is written."""

    @property
    def record(self) -> FileRecord | None:
        """After the end: what was stored."""

    def write(self, data: bytes | memoryview) -> None:
        """Take the next plain bytes."""


class Check(Protocol):
    """Reads the plain bytes along and says at the end whether the store's own tool understood all of them."""

    def write(self, data: bytes | memoryview) -> None:
        """Take the next plain bytes."""

    def finish(self) -> dict[str, Any]:
        """What the tool found: counts for the fingerprint; `unproven` is why it could not tell.

        Raises:
            Damaged: It did not understand them.
        """

    def abandon(self) -> None:
        """The stream broke off: leave nothing behind."""


class Files(Protocol):
    """Writes files of one backup to every target."""

    @property
    def sealed(self) -> bool:
        """Whether what is written is encrypted."""

    def file(
        self, path: str, *, estimate: int = 0, secret: bool = False, compress: bool = True, clear: bool = False
    ) -> AbstractContextManager[Sink]:
        """Write one file; aborted everywhere when the block raises.

        Args:
            path: Plain name below the backup's directory: `postgres/sutazai.dump`; endings are added.
            estimate: Bytes, 0 where unknown.
            secret: Must not lie in clear: refused where nothing encrypts (ask `sealed` first).
            clear: Stays in clear even where the rest is encrypted: only counts and hashes.
        """


class Stopping(Protocol):
    """Stops services for a copy and brings them back."""

    def stopped(self, services: tuple[str, ...], why: str) -> AbstractContextManager[Downtime]:
        """Stop every container of these services (clean, within their grace), start them after the block,
        and wait until they are proven ready. What a dead run stopped is on record for the watchdog."""


@dataclass
class Downtime:
    """How long services did not serve; filled when they are ready again.

    Args:
        check: Raises Failed once the stop has lasted too long; whoever copies asks it now and then.
        at_limit: Called when the stop has lasted too long, before the services are started again.
    """

    seconds: float | None = None
    stopped_at: datetime | None = None
    check: Callable[[], None] = lambda: None
    at_limit: list[Callable[[], None]] = field(default_factory=list)


@dataclass
class Saving:
    """What a procedure works with.

    Args:
        work: The stack, the engine, the redactor.
        files: Where it writes.
        stopping: How it stops services.
        spool: A directory of its own on a local disk; removed afterwards whatever happens.
        verify: `content` has every plain stream read by the store's own tool on its way.
        progress: Told the plain bytes that were written since the last call.
        pool: The pool of blobs (blocks.backup.pool.PoolWriter), for kinds that use it.
        consistency: All that it saves is of the one moment of `open`, which it shares with other stores.
    """

    work: Work
    component: Component
    files: Files
    stopping: Stopping
    spool: Path
    verify: Level = "none"
    progress: Callable[[int], None] = lambda _: None
    pool: Any = None
    backup_id: str = ""
    consistency: bool = False


@dataclass(frozen=True)
class Saved:
    """What a procedure saved.

    Args:
        moment: When what was saved stood still.
        sealed: Path of an encrypted file with the parts of the fingerprint that hold values.
        left_out: Secrets that were left out by name, because nothing encrypts them.
        places: Where it lies, where the store itself knew better than its files; the component's when empty.
    """

    tool: str
    tool_version: str
    files: tuple[FileRecord, ...] = ()
    pool: PoolRecord | None = None
    fingerprint: dict[str, Any] = field(default_factory=dict)
    sealed: str | None = None
    moment: datetime | None = None
    downtime: float | None = None
    checked: Level = "none"
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()


class Procedure(Protocol):
    """Saves one component in two steps, so that several stores can be fixed at one moment."""

    def open(self) -> None:
        """Fix the moment: after this, what will be saved does not change any more.

        A stopped store is stopped, copied to the spool, started and proven ready here.
        """

    def save(self) -> Saved:
        """Write it away."""

    def close(self) -> None:
        """Leave nothing behind in the store, in the engine or in the spool; never raises; safe to call twice."""

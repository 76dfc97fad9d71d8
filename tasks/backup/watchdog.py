"""Bringing back what a dead run stopped: with Prefect or without, and after a reboot too."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from blocks.backup.stop_journal import StopJournal, lives
from blocks.home import Home
from blocks.polling import poll
from blocks.supervisor import Supervisor
from compose.stack.backup.stop_journal import StopEntry, StoppedContainer, to_start
from compose.stack.errors import Failed, OpsError, Refused

if TYPE_CHECKING:
    from blocks.engine import Engine

log = logging.getLogger("ops.watchdog")
NAME = "watchdog"
EVERY = 5.0
OVERDUE = timedelta(seconds=60)
"""After its limit and this long a stop is ended although its holder lives: it hangs."""
APPEARS_WITHIN = 30.0


@dataclass(frozen=True)
class Revived:
    """What was done about one entry.

    Args:
        started: Containers that were started, by name; those that ran already included.
        wrong: What could not be done; the entry stays then, and the next round tries again.
    """

    project: str
    why: str
    started: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    def __str__(self) -> str:
        done = f"started {', '.join(self.started) or 'nothing'}" + "".join(f"; {one}" for one in self.wrong)
        return f"{self.project}: {self.why}: {done}"


def revive(home: Home, engine: Engine | None = None, now: datetime | None = None) -> list[Revived]:
    """Start what dead holders stopped, what living ones could not start, or keep stopped for too long.

    Args:
        engine: Found from the environment by default, and only when there is something to do.
        now: The moment; ours by default.

    Raises:
        Refused: No engine answers.
    """
    journal = StopJournal(home)
    if journal.empty:
        return []
    with journal.locked():
        entries, wrong = journal.scan()
        done = [Revived("journal", "an entry", wrong=(one,)) for one in wrong]
        whys = {path: _why(entry, now or datetime.now(UTC)) for path, entry in entries}
        living = [entry for path, entry in entries if not whys[path]]
        for path, entry in entries:
            if whys[path]:
                revived = _revive(engine or _connect(), entry, living, whys[path])
                done.append(revived)
                if not revived.wrong:
                    journal.clear(path)
    return done


def _why(entry: StopEntry, now: datetime) -> str:
    """Why an entry's services are to be started; empty while its holder is at it."""
    if not lives(entry.holder):
        return f"stopped at {entry.at} by a process that is dead (pid {entry.holder.pid})"
    if entry.given_up:
        return f"stopped at {entry.at} by pid {entry.holder.pid}, which could not start it again"
    until = datetime.fromisoformat(entry.at) + timedelta(seconds=entry.limit) + OVERDUE
    return f"stopped at {entry.at} for longer than {entry.limit:.0f} s" if now > until else ""


def _connect() -> Engine:
    from blocks.engine import Engine  # the guardian waits without it, small

    return Engine.connect()


def _revive(engine: Engine, entry: StopEntry, living: list[StopEntry], why: str) -> Revived:
    if engine.id != entry.engine:
        return Revived(
            entry.project, why, wrong=("its containers are on another engine than the one that answers",)
        )
    from blocks.one_off import PREFIX
    from blocks.stores.scratch import remove_of

    started: list[str] = []
    wrong: list[str] = []
    remove_of(engine, entry.holder, PREFIX)  # a tool of the dead run may still have the store's files open
    for one in to_start(entry, living):
        said = _start(engine, one)
        if said:
            wrong.append(said)
        else:
            started.append(one.name)
    return Revived(entry.project, why, tuple(started), tuple(wrong))


def _start(engine: Engine, one: StoppedContainer) -> str:
    """Start one container; what was wrong. One that somebody removed meanwhile is nobody's duty any more."""
    try:
        if engine.inspect(one.id) is not None:
            engine.start(one.id)
    except OpsError as error:
        return f"{one.name} cannot be started: {error.what}"
    return ""


def guard(home: Home) -> None:
    """See to it that a process of its own watches over the journal until nothing is stopped any more.

    It outlives us, our process group and our session.

    Raises:
        Refused: It did not come up.
    """
    if guarded(home):
        return
    home.make()
    argv = (sys.executable, "-m", "tasks.backup.guardian", str(home.path))
    Supervisor(home.run, home.logs).start(NAME, argv, {})
    if not poll(lambda: guarded(home), APPEARS_WITHIN, every=0.05):
        where = str(home.logs / f"{NAME}.log")
        raise Refused("nobody guards the stop: the watchdog does not start", where=where, next="read that log")


def guarded(home: Home) -> bool:
    """Whether a guardian watches."""
    try:
        with _lock(home, fcntl.LOCK_SH):
            return False
    except BlockingIOError:
        return True


def keep_watch(home: Home, every: float = EVERY, limit: float | None = None) -> bool:
    """Revive whatever needs it, until nothing is stopped; False when somebody else watches already.

    Args:
        every: Seconds between two looks.
        limit: Seconds after which it ends all the same; None for never.
    """
    began = time.monotonic()
    taken = _taken(home)
    if taken is None:
        return False
    said: list[str] = []
    try:
        while home.path.is_dir():
            said = _round(home, said)
            with StopJournal(home).locked():
                # given up inside the journal's lock: whoever writes an entry then finds that nobody watches
                late = limit is not None and time.monotonic() - began > limit
                if late or StopJournal(home).empty:
                    os.close(taken)
                    taken = -1
                    return True
            time.sleep(every)
        return True  # its home was removed, and with it whatever there was to bring back
    finally:
        if taken >= 0:
            os.close(taken)


def watch(home: Home, *, loop: bool = False) -> Iterator[str]:
    """Revive once, or for ever; a line for everything that was done or could not be done, when it is news.

    Raises:
        Refused: No engine answers; in a loop it is told, and tried again.
    """
    before: list[str] = []
    while True:
        try:
            said = [str(one) for one in revive(home)]
        except OpsError as error:
            if not loop:
                raise
            said = [str(error)]
        yield from (line for line in said if line not in before)
        if not loop:
            return
        before = said
        time.sleep(EVERY)


def _round(home: Home, before: list[str]) -> list[str]:
    """One look; what there was to say of it, logged when it is news."""
    try:
        said = [str(one) for one in revive(home)]
    except (OpsError, OSError) as error:
        said = [str(error)]
    for line in said:
        if line not in before:
            log.warning("%s", line)
    return said


def _taken(home: Home) -> int | None:
    """The guardian's lock, tried for long enough not to be kept off by somebody who only looks."""
    held: list[int] = []

    def take() -> bool:
        handle = _open(home)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        held.append(handle)
        return True

    return held[0] if poll(take, 2.0, every=0.02) else None


@contextmanager
def _lock(home: Home, kind: int) -> Iterator[None]:
    handle = _open(home)
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _open(home: Home) -> int:
    home.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        return os.open(home.run / f"{NAME}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Failed(f"cannot be opened: {error.strerror}", where=str(home.run / f"{NAME}.lock")) from None

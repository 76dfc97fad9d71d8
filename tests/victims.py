"""Deployments in a process of their own that can be killed at a named moment, with all their children."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from compose.stack.errors import OpsError
from compose.stack.report import DeployReport
from flows.walker import ThreadRunner
from tasks.work import Work

Result = TypeVar("Result")
Deed = Callable[[ThreadRunner], DeployReport]
FORK = multiprocessing.get_context("fork")
LOCKED = 3


class TellingRunner(ThreadRunner):
    """A thread runner that tells of the steps that the journal does not name (phases are in it)."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def step(self, title: str, work: Callable[[], Result], *, tags: Sequence[str] = ()) -> Result:
        """Execute one step, telling."""
        if tags:
            return super().step(title, work, tags=tags)
        self._tell(f"{title} begin")
        result = super().step(title, work)
        self._tell(f"{title} end")
        return result


@dataclass
class Ended:
    """How a process ended.

    Args:
        code: Exit code of the report or error; None when it was killed.
        points: Named moments that it came by.
    """

    code: int | None
    points: list[str]
    said: str = ""
    seconds: float = 0.0


def run(deed: Deed, *, halt_at: str = "", kill_after: float | None = None) -> Ended:
    """Do something in a process of its own, and kill it there.

    Args:
        deed: What to do with a runner.
        halt_at: Named moment at which it is killed, such as `start:app begin`.
        kill_after: Seconds after its first named moment at which it is killed.
    """
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_child, args=(deed, theirs, halt_at))
    process.start()
    theirs.close()
    began = time.monotonic()
    ended = Ended(None, [])
    try:
        _listen(ours, ended, halt_at, kill_after)
    finally:
        if process.is_alive() and ended.code is None:
            kill_session(process.pid or 0)
        process.join(30)
    ended.seconds = time.monotonic() - began
    return ended


def _listen(ours: Connection, ended: Ended, halt_at: str, kill_after: float | None) -> None:
    until = None
    with contextlib.suppress(EOFError):
        while ended.code is None:
            if until is not None and not ours.poll(max(until - time.monotonic(), 0)):
                return
            said = ours.recv()
            if "code" in said:
                ended.code, ended.said = said["code"], said["said"]
                return
            ended.points.append(said["point"])
            if said["point"] == halt_at:
                return
            if kill_after is not None and until is None:
                until = time.monotonic() + kill_after


def _child(deed: Deed, theirs: Connection, halt_at: str) -> None:
    os.setsid()
    guard = threading.Lock()

    def tell(point: str) -> None:
        with guard:
            theirs.send({"point": point})
        if point == halt_at:
            threading.Event().wait()

    written = Work.journal

    def journal(self: Work, step: str, event: str, **facts: Any) -> None:
        written(self, step, event, **facts)
        tell(f"{step} {event}")

    Work.journal = journal  # type: ignore[method-assign]
    code, said = 70, ""
    try:
        report = deed(TellingRunner(tell))
        code, said = report.exit_code, f"{report.headline} {report.errors}"
    except OpsError as error:
        code, said = int(error.code), str(error)
    finally:
        with guard:
            theirs.send({"code": code, "said": said})
        theirs.close()
        os._exit(0)


def run_when_free(deed: Deed, seconds: float = 60.0) -> Ended:
    """Do something to its end as soon as the lock is free."""
    until = time.monotonic() + seconds
    while (ended := run(deed)).code == LOCKED and time.monotonic() < until:
        time.sleep(0.2)
    return ended


def kill_session(leader: int) -> None:
    """SIGKILL for every process of a session, in whatever process group."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            session = int(stat.read_text().rpartition(")")[2].split()[3])
            if session == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)

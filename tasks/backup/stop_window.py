"""One stop: from the entry in the journal until everything is ready again."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from blocks.backup.stop_journal import StopJournal, this_process
from blocks.engine import talking
from compose.stack.backup.stop_journal import StopEntry, StoppedContainer
from compose.stack.errors import Failed, OpsError
from compose.stack.observed import Container
from tasks.backup.procedure import Downtime
from tasks.backup.ready_again import await_container, layers, start_again
from tasks.backup.watchdog import guard
from tasks.work import Work

log = logging.getLogger("ops.backup")
GRACE = 10
"""Seconds that the engine gives a container that says nothing else."""
LONGER_GRACE = 90
KILLED = 137
DOWN = {"exited", "dead", "created"}


@dataclass
class Held:
    """How many stops of this process hold each container, and whose turn it is to stop or start it."""

    count: Counter[str] = field(default_factory=Counter)
    _turns: dict[str, threading.RLock] = field(default_factory=dict)

    @contextmanager
    def turn(self, containers: Iterable[StoppedContainer]) -> Iterator[None]:
        """Nobody else of us stops or starts these containers meanwhile."""
        with ExitStack() as turns:
            for identity in sorted(one.id for one in containers):
                turns.enter_context(self._turns.setdefault(identity, threading.RLock()))
            yield


class Window:
    """One stop, from the entry in the journal until everything is ready again."""

    def __init__(
        self,
        work: Work,
        held: Held,
        guarded: bool,
        found: list[StoppedContainer],
        limit: float,
        why: str,
        clean: bool,
    ) -> None:
        self.work, self.holds, self.guarded = work, held, guarded
        self.found, self.limit, self.why, self.clean = found, limit, why, clean
        self.journal = StopJournal(self.work.home)
        self.downtime = Downtime(check=self.check)
        self.expired = threading.Event()
        self.began = time.monotonic()
        self.entry: Path | None = None
        self.written: StopEntry | None = None
        self.ended = threading.Lock()
        self.held = self.back = False

    def check(self) -> None:
        """Raise Failed once the stop has lasted too long."""
        if self.expired.is_set():
            raise self._too_long()

    def _too_long(self) -> Failed:
        names = ", ".join(dict.fromkeys(one.service for one in self.found))
        what = f"stopped for longer than the {self.limit:.0f} s that it may be: the copy was given up"
        return Failed(what, where=names, next="x-ops.backup.stop_limit allows more; a faster spool needs less")

    @contextmanager
    def open(self) -> Iterator[None]:
        """Stop, let the block work, start again."""
        if not self.found:
            self.downtime.stopped_at = datetime.now(UTC)
            yield
            return
        timer = threading.Timer(self.limit, self._expire)
        timer.daemon = True
        self._write_down()
        try:
            self.began = time.monotonic()
            timer.start()
            self._stop_all()
            self.downtime.stopped_at = datetime.now(UTC)
            yield
            self.check()
            self._nobody_interfered()
        finally:
            timer.cancel()
            self._bring_back()
        self.check()

    def _nobody_interfered(self) -> None:
        """The watchdog, or somebody by hand, may have started them under the copy."""
        if self.entry and not self.entry.exists():
            raise self._too_long()
        for one in self.found:
            now = self.work.engine.inspect(one.id)
            if now is None or now.state not in DOWN:
                what = f"somebody started {one.name} while it was copied: the copy is none"
                raise Failed(what, where=one.service, next="the same backup again")

    def _write_down(self) -> None:
        now = datetime.now(UTC)
        identity = f"{now:%Y%m%dT%H%M%S}-{token_hex(4)}"
        entry = StopEntry(
            identity, self.work.name, self.work.engine.id, tuple(self.found), this_process(), now.isoformat(),
            self.limit, self.why,
        )  # fmt: skip
        with self.journal.locked():
            self.entry, self.written = self.journal.write(self.work.found.name or self.work.name, entry), entry
        try:
            if self.guarded:
                guard(self.work.home)
        except BaseException:
            self.journal.clear(self.entry)
            raise

    def _expire(self) -> None:
        """The limit is reached: end the copy, start the services from here, whatever the copy is doing."""
        self.expired.set()
        log.error("%s", self._too_long())
        for cancel in self.downtime.at_limit:
            try:
                cancel()
            except OpsError as error:
                log.warning("while the copy was given up: %s", error)
        try:
            self._bring_back()
        except OpsError as error:
            log.error("%s", error)  # raised again at the end of the block: the entry is still there

    def _stop_all(self) -> None:
        groups = layers(self.work.stack, [one.service for one in self.found])
        with self.holds.turn(self.found):
            mine = [one for one in self.found if not self.holds.count[one.id]]
            self.holds.count.update(one.id for one in self.found)
            self.held = True
            for group in reversed(groups):
                wanted = [one for one in mine if one.service in group]
                with ThreadPoolExecutor(max(1, len(wanted))) as pool:
                    list(pool.map(self._stop, wanted))
                self.check()

    def _stop(self, one: StoppedContainer) -> None:
        self.work.say(one.service, f"stopped: {self.why}")
        self.work.engine.stop(one.id, self._grace(one))
        if self._ended_cleanly(one):
            return
        log.warning("%s was killed: started, and stopped once more with a longer grace", one.name)
        self.work.engine.start(one.id)
        await_container(self.work, one)
        self.check()
        self.work.engine.stop(one.id, max(1, min(max(LONGER_GRACE, 3 * self._grace(one)), self._left())))
        if not self._ended_cleanly(one):
            what = "it does not end when asked to, even with a longer grace: killed, its files are no clean copy"
            raise Failed(what, where=one.service, next="give it a longer stop_grace_period, or x-ops.backup.live")

    def _grace(self, one: StoppedContainer) -> int:
        """The container's own grace in seconds, at most what is left of the limit."""
        with talking():
            said = self.work.engine.client.api.inspect_container(one.id)["Config"].get("StopTimeout")
        return max(1, min(GRACE if said is None else int(said), self._left()))

    def _left(self) -> int:
        return int(self.limit - (time.monotonic() - self.began))

    def _ended_cleanly(self, one: StoppedContainer) -> bool:
        now: Container | None = self.work.engine.inspect(one.id)
        if now is None:
            raise Failed("its container was removed by somebody else", where=one.service)
        if now.state not in DOWN:
            raise Failed(f"it is {now.state} after it was stopped", where=one.service)
        return not self.clean or (now.exit_code != KILLED and not now.oom_killed)

    def _bring_back(self) -> None:
        with self.ended, self.holds.turn(self.found):
            if self.back:
                return
            self.back = True
            last = 1 if self.held else 0
            again = [one for one in self.found if self.holds.count[one.id] <= last]
            try:
                start_again(self.work, again)
            except OpsError:
                self._hand_over()
                raise
            finally:
                if self.held:
                    # only now: whoever comes meanwhile must not take them for stopped by somebody else
                    self.holds.count.subtract(one.id for one in self.found)
            self.downtime.seconds = round(time.monotonic() - self.began, 3)
            if self.entry:
                with self.journal.locked():
                    self.journal.clear(self.entry)

    def _hand_over(self) -> None:
        """We could not start them, as when the engine is away: whoever watches tries until he can."""
        if self.entry and self.written:
            with self.journal.locked():
                if self.entry.exists():
                    stack = self.work.found.name or self.work.name
                    self.journal.write(stack, replace(self.written, given_up=True))
            if self.guarded:
                guard(self.work.home)

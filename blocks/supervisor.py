"""Processes that outlive the terminal where no init system keeps them: started, recognised, stopped."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from blocks.files import write_private
from blocks.polling import poll
from compose.stack.errors import Failed

_LOG_LIMIT = 20_000_000
"""Bytes after which a log is put aside at the next start; one old log is kept."""

_MARK = "OPS_SUPERVISED"


@dataclass(frozen=True)
class Process:
    """A process that we started.

    Args:
        pid: Process id, also of its session and group.
        started: Start time in clock ticks since boot; with `boot` it tells a reused pid from ours.
        boot: The boot it belongs to.
        fingerprint: Hash of its command and variables; another one means: start it anew.
    """

    pid: int
    started: int
    boot: str
    fingerprint: str


def fingerprint(argv: Sequence[str], environment: Mapping[str, str]) -> str:
    """One hash for what a process is started with."""
    return hashlib.sha256(json.dumps([list(argv), sorted(environment.items())]).encode()).hexdigest()


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_time(pid: int) -> int | None:
    """Start of a live process in clock ticks since boot (proc_pid_stat(5), field 22); None when it is gone."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(fields[18])


@dataclass(frozen=True)
class Supervisor:
    """Keeps records of detached processes in one directory.

    Args:
        run: Directory of the records.
        logs: Directory of the processes' output.
    """

    run: Path
    logs: Path

    def log(self, name: str) -> Path:
        """Where a process prints to."""
        return self.logs / f"{name}.log"

    def running(self, name: str) -> Process | None:
        """The process of this name, when it lives; a pid that somebody else has now is not it."""
        try:
            process = Process(**json.loads((self.run / f"{name}.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            process = None
        if process and process.boot == _boot() and _start_time(process.pid) == process.started:
            return process
        return self._unrecorded(name)

    def _unrecorded(self, name: str) -> Process | None:
        """One whose starter died before it wrote the record: the oldest process with our mark."""
        mark = f"{_MARK}={self.run / name}".encode()
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if mark not in (place / "environ").read_bytes().split(b"\0"):
                    continue
            except OSError:  # gone meanwhile, or another user's
                continue
            started = _start_time(int(place.name))
            if started is not None:
                found.append((started, int(place.name)))
        return Process(min(found)[1], min(found)[0], _boot(), "unknown") if found else None

    def current(self, name: str, argv: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether the process runs with exactly this command and these variables."""
        process = self.running(name)
        return process is not None and process.fingerprint == fingerprint(argv, environment)

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Start a process in a session of its own, its output in its log, and record it."""
        log = self.log(name)
        log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if log.exists() and log.stat().st_size > _LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
        with open(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as output:
            try:
                child = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **environment, _MARK: str(self.run / name)},
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                raise Failed(f"cannot start {argv[0]}: {error.strerror}", where=name) from error
        child.returncode = 0  # ours no longer: no warning when this command ends before it does
        process = Process(child.pid, _start_time(child.pid) or 0, _boot(), fingerprint(argv, environment))
        write_private(self.run / f"{name}.json", json.dumps(asdict(process)) + "\n")
        return process

    def stop(self, name: str, grace: float = 20.0) -> bool:
        """Ask a process to end and wait; kill its group after `grace` seconds. False when it was not running."""
        process = self.running(name)
        if process:
            _signal(process, signal.SIGTERM)
            if not poll(lambda: self.running(name) is None, grace):
                _signal(process, signal.SIGKILL)
                poll(lambda: self.running(name) is None, 5.0)
        (self.run / f"{name}.json").unlink(missing_ok=True)
        return process is not None

    def wait(self, name: str, ready: Callable[[], bool], limit: float) -> None:
        """Poll until a process that we started is ready; Failed with its last words when it dies or is late."""
        if poll(lambda: ready() or self.running(name) is None, limit) and self.running(name):
            return
        what = "did not answer in time" if self.running(name) else "ended at once"
        raise Failed(f"{what}: {self.last_words(name)}", where=name, next=f"less {self.log(name)}")

    def last_words(self, name: str, lines: int = 3) -> str:
        """The last lines of a process's log."""
        try:
            with self.log(name).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 4000))
                return " | ".join(log.read().decode(errors="replace").split("\n")[-lines - 1 :]).strip(" |")
        except FileNotFoundError:
            return "no log"


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)

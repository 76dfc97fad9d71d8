"""One worker per stack: a lock that every user of an engine shares and that dies with its holders."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import RLock

from blocks.polling import poll
from compose.stack.errors import Locked, Refused

PLACES = (Path("/run/lock"), Path("/var/lock"), Path("/tmp"))


def lock_path(engine: str, project: str) -> Path:
    """The lock file of a project on an engine: the same for every user and every OPS_HOME.

    Args:
        engine: The engine's id.
        project: The compose project's name.
    """
    place = next((p for p in PLACES if _for_all(p)), PLACES[-1])
    digest = hashlib.sha256(f"{engine}/{project}".encode()).hexdigest()[:16]
    return place / f"sutazai-ops-{digest}.lock"


def _for_all(place: Path) -> bool:
    """True where everybody may write: a place that only root may use would part root from the others."""
    try:
        return place.is_dir() and bool(place.stat().st_mode & 0o002)
    except OSError:
        return False


@contextlib.contextmanager
def stack_lock(engine: str, project: str, what: str) -> Iterator[int]:
    """Hold the lock; its file descriptor, for child processes to inherit.

    Args:
        engine: The engine's id.
        project: The compose project's name.
        what: What we are about to do, for whoever finds the lock taken.

    Raises:
        Locked: Somebody works on this stack; the holder is named.
    """
    path = lock_path(engine, project)
    handle = _open(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                f"{_holder(path)} works on it", where=project, next="wait for it, or end it, then try again"
            ) from None
        _sign(handle, what)
        yield handle
    finally:
        os.close(handle)


@dataclass(frozen=True)
class SharedLock:
    """A lock that others may share while nothing is touched, and that is ours alone while something is.

    Args:
        handle: File descriptor, for child processes to inherit.
    """

    handle: int
    path: Path
    project: str
    what: str
    _mine: RLock = field(default_factory=RLock)

    @contextlib.contextmanager
    def alone(self, patience: float = 60.0) -> Iterator[None]:
        """Have it alone for a while; threads of this process take turns.

        Args:
            patience: Seconds to wait for others that share it.

        Raises:
            Locked: They did not let go in time.
        """
        with self._mine:
            if not poll(self._taken, patience):
                who = _holder(self.path)
                raise Locked(f"{who} works on it", where=self.project, next="wait for it, then try again")
            _sign(self.handle, self.what)
            try:
                yield
            finally:
                fcntl.flock(self.handle, fcntl.LOCK_SH)

    def _taken(self) -> bool:
        try:
            fcntl.flock(self.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(self.handle, fcntl.LOCK_SH)  # a conversion that fails has lost what it had
            return False
        return True


@contextlib.contextmanager
def shared_lock(engine: str, project: str, what: str) -> Iterator[SharedLock]:
    """Share the lock with others that only read; whoever wants to change the stack has to wait.

    Raises:
        Locked: Somebody changes this stack now; the holder is named.
    """
    path = lock_path(engine, project)
    handle = _open(path)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(
                f"{_holder(path)} works on it", where=project, next="wait for it, or end it, then try again"
            ) from None
        _sign(handle, what)
        yield SharedLock(handle, path, project, what)
    finally:
        os.close(handle)


def lock_holder(engine: str, project: str) -> str | None:
    """Who holds the lock, None when it is free."""
    path = lock_path(engine, project)
    if not path.exists():
        return None
    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(path)
    finally:
        os.close(handle)
    return None


def _open(path: Path) -> int:
    """The lock's file, made when it is not there.

    Never opened with O_CREAT once it is there: in a sticky directory the kernel refuses that for a file of
    another user, root included (fs.protected_regular, proc_sys_fs(5)).
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    for how in (flags, flags | os.O_CREAT | os.O_EXCL, flags):  # the last: somebody else made it meanwhile
        try:
            handle = os.open(path, how, 0o666)
        except (FileNotFoundError, FileExistsError):
            continue
        except OSError as error:
            raise Refused(f"the lock file cannot be opened: {error.strerror}", where=str(path)) from None
        if how & os.O_CREAT:
            os.fchmod(handle, 0o666)  # other users of the same engine take the same lock
        return handle
    raise Refused("the lock file cannot be made", where=str(path), next="try again")


def _sign(handle: int, what: str) -> None:
    """Write who holds it, for whoever finds it taken."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(_me(what)).encode(), 0)


def _me(what: str) -> dict[str, object]:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "user": getpass.getuser(), "what": what, "since": since}


def _holder(path: Path) -> str:
    try:
        said = json.loads(path.read_text())
    except (OSError, ValueError):
        return "an unknown process"
    alive = _lives(said.get("pid"))
    ghost = "" if alive else ", which is dead, but a command that it began is still at work"
    return f"{said.get('what')} (pid {said.get('pid')}, user {said.get('user')}, since {said.get('since')}{ghost})"


def _lives(pid: object) -> bool:
    """True for a process that is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False

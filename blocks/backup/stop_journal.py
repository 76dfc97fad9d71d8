"""The journal of stops on disk, and which of its holders live."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from blocks.files import sync_directory, write_private
from blocks.home import Home
from compose.stack.backup.stop_journal import Holder, StopEntry, parse_entry

BOOT = Path("/proc/sys/kernel/random/boot_id")
PLACE = "stopped"


def this_boot() -> str:
    """The boot that this machine is in."""
    return BOOT.read_text().strip()


def start_of(pid: int) -> int | None:
    """Start of a live process in clock ticks since boot (proc_pid_stat(5), field 22); None when it is gone."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in "ZX" else int(fields[18])


def this_process() -> Holder:
    """Ourselves."""
    return Holder(os.getpid(), start_of(os.getpid()) or 0, this_boot())


def lives(holder: Holder) -> bool:
    """Whether a holder is still there."""
    return holder.lives(this_boot(), start_of(holder.pid))


@dataclass(frozen=True)
class StopJournal:
    """The entries of all stacks of one home: one file each, on disk before anything is stopped."""

    home: Home

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep others from writing entries and from reviving what they say, meanwhile."""
        self.home.run.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self.home.run / "stopped.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def write(self, stack: str, entry: StopEntry) -> Path:
        """Put an entry on disk; it is there when this returns."""
        place = self.home.stack(stack) / PLACE
        new = not place.exists()
        path = place / f"{entry.id}.json"
        write_private(path, entry.to_json())
        if new:
            sync_directory(place.parent)
        return path

    def clear(self, path: Path) -> None:
        """What an entry says is up again."""
        path.unlink(missing_ok=True)
        if path.parent.exists():
            sync_directory(path.parent)

    def scan(self) -> tuple[list[tuple[Path, StopEntry]], list[str]]:
        """All entries, oldest first, and what is wrong with those that cannot be read."""
        found, wrong = [], []
        for path in sorted(self.home.stacks.glob(f"*/{PLACE}/*.json")):
            try:
                found.append((path, parse_entry(path.read_text(encoding="utf-8"))))
            except FileNotFoundError:
                continue
            except ValueError as error:
                wrong.append(f"{path} cannot be read ({error}): somebody's services may stand still")
        return sorted(found, key=lambda pair: pair[1].at), wrong

    @property
    def empty(self) -> bool:
        """Whether nothing is stopped."""
        return not any(self.home.stacks.glob(f"*/{PLACE}/*.json"))

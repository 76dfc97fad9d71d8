"""Memory of a whole backup while much streams: the process and its children, sampled from /proc."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.backup_postgres import fill as fill_database
from bench.backup_site import DB, Site, keeper, site
from bench.machine import fill
from bench.place import REPOSITORY, Place
from bench.reckon import over_idle
from bench.tally import Row, Tally
from compose.stack.backup.keys import UNFINISHED
from tests.images import BUSYBOX

EVERY = 0.05
SMALL = "volume-small"
OURS = ("db", "volume-files", "volume-models", SMALL)
ROWS = (
    Row("memory: the process at its highest when next to nothing is saved (idle)", "memory: idle", "", "", "MB"),
    Row("memory: the process at its highest while {size} stream", "memory: alone", "", "", "MB"),
    Row("memory: the process and all its children while they stream, over idle", "memory: over idle", "",
        "<= 200 MB", "MB"),
    Row("memory: children at the start, before anything streams (Docker Compose reads the files)",
        "memory: start", "", "", "MB"),
)  # fmt: skip


@dataclass
class Watched:
    """A command that was watched to its end.

    Args:
        alone: Resident kilobytes of the process at each look; `tree`: with its children, while it streams.
        start: Of its children, before that.
    """

    alone: list[int] = field(default_factory=list)
    tree: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)

    def look(self, sizes: list[int], *, streams: bool) -> None:
        """Keep one look.

        Args:
            sizes: Kilobytes of the process, and of each child.
        """
        if sizes:
            self.alone.append(sizes[0])
            (self.tree if streams else self.start).append(sum(sizes) if streams else sum(sizes[1:]))


def watched(
    argv: tuple[str, ...], environment: Mapping[str, str], log: Path, streams: Callable[[], bool]
) -> Watched:
    """Run a command and look at its memory all the time.

    Args:
        log: Takes what it says.
        streams: Whether anything streams yet.
    """
    said = log.with_suffix(".err")
    with log.open("wb") as out, said.open("wb") as err:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment, cwd=REPOSITORY
        )
        found, begun = Watched(), False
        while (code := process.poll()) is None:
            begun = begun or streams()
            found.look(resident_tree(process.pid), streams=begun)
            time.sleep(EVERY)
    if code:
        raise SystemExit(f"exit code {code}:\n{log.read_text()[-2000:]}\n{said.read_text()[-2000:]}")
    return found


def resident_tree(pid: int) -> list[int]:
    """Resident kilobytes of a process and of each of its children, it first; empty when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:
        return []
    own = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")]
    children = [int(child) for text in lists for child in text.split()]
    return own[:1] + [size for child in children for size in resident_tree(child)] if own else []


@contextmanager
def filled(place: Place, size: int) -> Iterator[Site]:
    """A database, a volume that is archived and one that goes into the pool; a small one beside them."""
    services = {
        "db": DB,
        "files": keeper(BUSYBOX, "files", pool=False),
        "models": keeper(BUSYBOX, "models", pool=True),
        "small": keeper(BUSYBOX, "small", pool=False),
    }
    with site(place, "t-bench-backup-memory", services, ("pg", "files", "models", "small")) as made:
        fill_database(made, size * 2 // 5)
        fill(made.directory("files"), size * 3 // 10, 3)
        fill(made.directory("models"), size * 3 // 10, 3)
        fill(made.directory("small"), 4096, 1)
        yield made


def measure(made: Site, tally: Tally, *, everything: bool) -> None:
    """One run with next to nothing, one with all.

    Args:
        everything: With the configuration, the images and whatever else a default run saves.
    """
    idle = _run(made, SMALL)
    busy = _run(made, *(() if everything else OURS))
    tally.add("memory: idle", max(idle.alone) / 1024)
    tally.add("memory: alone", max(busy.alone) / 1024)
    tally.add("memory: over idle", over_idle(idle.alone, busy.tree) / 1024)
    tally.add("memory: start", max(busy.start) / 1024)


def _run(made: Site, *only: str) -> Watched:
    made.fresh()
    argv = (str(REPOSITORY / "ops"), *made.argv(*only))
    log = made.place.files / "watched.json"
    done = watched(argv, made.place.environment(), log, lambda: any(made.target.glob(f"*/*/**/*{UNFINISHED}")))
    made.fresh()
    return done

"""The pool: big files that nothing compresses, first and again, against what the machine can do and restic."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.backup_site import Site, component, keeper, site
from bench.machine import cached, fill, forget, hash_speed, write_speed
from bench.peers import Restic
from bench.place import Place
from bench.reckon import in_turn, lower, speed
from bench.tally import Row, Tally
from compose.stack.backup.manifest import MANIFEST
from tests.images import BUSYBOX

VOLUME, FILES = "volume-models", 4
RATE = "MB/s"
HASH, DISK, BOUND = "pool: hash", "pool: disk", "pool: bound"
FIRST, AGAIN = "pool: first", "pool: again"
ROWS = (
    Row("pool: first backup, the component, against the lower of SHA-256 and writing with fsync",
        FIRST, BOUND, ">= 0.8 x", RATE),
    Row("the machine: hashlib's SHA-256 on one processor", HASH, "", "", RATE),
    Row("the machine: one file written, with fsync", DISK, "", "", RATE),
    Row("pool: first backup, whole command, against `restic backup`",
        "pool: first, command", "pool: restic, first", inverse=True),
    Row("pool: second backup, whole command, against `restic backup` again",
        "pool: again, command", "pool: restic, again"),
    Row("pool: second backup, the component", AGAIN),
    Row("pool: second backup, bytes copied", "pool: copied", "", "0", "B"),
    Row("pool: second backup, bytes of the volume read", "pool: read", "", "0", "B"),
)  # fmt: skip


@contextmanager
def filled(place: Place, size: int) -> Iterator[Site]:
    """A volume with so many bytes of random files."""
    with site(
        place, "t-bench-backup-pool", {"models": keeper(BUSYBOX, "models", pool=True, live=True)}, ("models",)
    ) as made:
        fill(made.directory("models"), size, FILES)
        yield made


def measure(made: Site, tally: Tally, index: int, size: int) -> None:
    """One pair.

    Args:
        size: Bytes of the volume.
    """
    tally.add(HASH, hash_speed())
    os.sync()
    tally.add(DISK, write_speed(made.place.files, size))
    bound = lower(tally.of(HASH), tally.of(DISK))
    tally.add(BOUND, bound[-1])
    steps = (_ours, _restic)
    for at in in_turn(len(steps), index):
        os.sync()
        steps[at](made, tally, size)


def _ours(made: Site, tally: Tally, size: int) -> None:
    made.fresh()
    first = made.backup(VOLUME)
    tally.add(FIRST, speed(size, float(component(first, VOLUME)["seconds"])))
    tally.add("pool: first, command", first.seconds)
    forget(made.directory("models"))
    left = cached(made.directory("models"))
    again = made.backup(VOLUME)
    tally.add("pool: read", max(0, cached(made.directory("models")) - left))
    tally.add(AGAIN, float(component(again, VOLUME)["seconds"]))
    tally.add("pool: again, command", again.seconds)
    tally.add("pool: copied", _pool(made, again.json["id"])["new_bytes"])
    made.fresh()
    _warm(made)


def _restic(made: Site, tally: Tally, size: int) -> None:
    peer, place = Restic(made.place.files / "restic"), str(made.directory("models"))
    words = ("restic", "backup", "-q", place)
    tally.add("pool: restic, first", peer.run(words))
    tally.add("pool: restic, again", peer.run(words))
    shutil.rmtree(peer.place)


def _warm(made: Site) -> None:
    """Have the volume in the page cache again, for whoever comes next."""
    for path in made.directory("models").iterdir():
        with path.open("rb", buffering=0) as file:
            while file.read(1024**2):
                pass


def _pool(made: Site, identifier: str) -> dict[str, Any]:
    (path,) = made.target.glob(f"*/backups/{identifier}/{MANIFEST}")
    (found,) = [one for one in json.loads(path.read_bytes())["components"] if one["name"] == VOLUME]
    return dict(found["pool"])

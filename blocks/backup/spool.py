"""Copies on a local disk: of what has to stand still, for as short as can be."""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from io import FileIO
from pathlib import Path

from blocks.backup.stop_journal import lives, this_process
from blocks.backup.trees import PIECE, LocalTree
from blocks.files import write_private
from compose.stack.backup.plan import megabytes
from compose.stack.backup.stop_journal import Holder
from compose.stack.errors import Failed, Refused

log = logging.getLogger("ops.backup")
HOLDER = "holder.json"
SPARE = 64 * 1024 * 1024
"""Bytes that stay free on the spool's disk."""
LOOK_EVERY = 0.2
RANGE = 256 * 1024 * 1024
"""Bytes that are copied between two looks at the stop's limit."""
BY_HAND = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM}
"""What the kernel says where it does not copy between two file systems itself."""
Check = Callable[[], None]


@contextmanager
def spool_directory(root: Path, name: str) -> Iterator[Path]:
    """A directory of ours below the spool, for its owner only; removed whatever happens.

    Args:
        root: The spool.
        name: Unique in it: the backup's id.
    """
    place = root / name
    place.mkdir(parents=True, mode=0o700)
    try:
        write_private(place / HOLDER, json.dumps(asdict(this_process())) + "\n")
        yield place
    finally:
        remove_tree(place)


def sweep_spools(root: Path) -> list[str]:
    """Remove the directories of processes that are dead; their names."""
    gone = []
    for file in sorted(root.glob(f"*/{HOLDER}")):
        try:
            if lives(Holder(**json.loads(file.read_text(encoding="utf-8")))):
                continue
        except (ValueError, TypeError):
            log.warning("%s cannot be read: its spool is removed", file)
        except FileNotFoundError:
            continue
        remove_tree(file.parent)
        gone.append(file.parent.name)
    return gone


def remove_tree(place: Path) -> None:
    """Remove a directory with everything in it; what cannot be removed is told."""

    def tell(_: object, path: str, error: BaseException | tuple[object, ...]) -> None:
        said = error[1] if isinstance(error, tuple) else error
        if not isinstance(said, FileNotFoundError):
            log.warning("%s cannot be removed: %s", path, said)

    shutil.rmtree(place, onerror=tell)


def require_room(place: Path, need: int, what: str) -> None:
    """See that a copy fits, before anything is stopped for it.

    Args:
        need: Bytes.

    Raises:
        Refused: It does not; with both numbers.
    """
    free = shutil.disk_usage(place).free
    if need + SPARE > free:
        raise Refused(
            f"its copy takes {megabytes(need)} and the spool has {megabytes(free)} free",
            where=what,
            next=f"make room in {place}, or name another place: OPS_SPOOL",
        )


def copy_tree(source: Path, to: Path, check: Check = lambda: None) -> LocalTree:
    """Copy a directory, or one file, of this host: owners, modes, times, hard links, holes and all.

    Args:
        to: A directory that is not there yet.
        check: Asked several times a second; raises to give up.

    Raises:
        Failed: It cannot be read or written, or changed while it was copied.
    """
    tree = LocalTree(source)
    before = tree.state()
    if source.is_dir():
        to.mkdir(mode=0o700)
        _cp((f"{source}/.", str(to)), check, source)
        copied = LocalTree(to)
    else:
        to.mkdir(mode=0o700)
        _cp((str(source), str(to / source.name)), check, source)
        copied = LocalTree(to / source.name)
    changed = [path for path, state in tree.state().items() if before.pop(path, None) != state] + list(before)
    if changed:
        few = ", ".join(sorted(changed)[:3])
        what = f"{len(changed)} files were written while it was copied ({few}), although nothing should: who does?"
        raise Failed(what, where=str(source), next="stop what writes it, or say x-ops.backup.live")
    return copied


def copy_file(source: Path, to: Path, check: Check = lambda: None) -> None:
    """Copy what a file holds, no more than it held at the beginning; shared on the disk where that can be.

    Raises:
        FileNotFoundError: It is gone.
        Failed: It cannot be read or written.
    """
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(handle, "rb", buffering=0) as file, to.open("xb", buffering=0) as copy:
            _ranges(file, copy, os.fstat(file.fileno()).st_size, check)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Failed(f"cannot be copied to the spool: {error.strerror}", where=str(source)) from error


def _ranges(file: FileIO, copy: FileIO, left: int, check: Check) -> None:
    direct = True
    while left > 0:
        check()
        try:
            done = os.copy_file_range(file.fileno(), copy.fileno(), min(left, RANGE)) if direct else 0
        except OSError as error:
            if error.errno not in BY_HAND:
                raise
            done, direct = 0, False
        if not direct:
            done = os.write(copy.fileno(), os.read(file.fileno(), min(left, PIECE)))
        if not done:
            return
        left -= done


def _cp(words: tuple[str, str], check: Check, source: Path) -> None:
    argv = ("cp", "-a", "--reflink=auto", "--sparse=auto", "--", *words)
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "LC_ALL": "C"},
    )
    try:
        said = _ended(process, check)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if process.returncode:
        last = " | ".join(said.decode(errors="replace").splitlines()[-3:])
        raise Failed(f"cannot be copied to the spool: {last}", where=str(source), next=f"df -h {words[1]}")


def _ended(process: subprocess.Popen[bytes], check: Check) -> bytes:
    while True:
        try:
            return process.communicate(timeout=LOOK_EVERY)[1]
        except subprocess.TimeoutExpired:
            check()


def keep_stream(chunks: Iterator[bytes], to: Path, check: Check = lambda: None) -> Path:
    """Write a stream into a file of the spool.

    Raises:
        Failed: The disk is full.
    """
    try:
        with to.open("xb") as file:
            for chunk in chunks:
                check()
                file.write(chunk)
    except OSError as error:
        raise Failed(f"cannot be written: {error.strerror}", where=str(to), next=f"df -h {to.parent}") from error
    return to

"""What this machine can do at most: hashing, writing; and what it has in its page cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from pathlib import Path

from bench.reckon import MB, speed

PIECE = 1024**2


def hash_speed(size: int = 1024**3) -> float:
    """Megabytes per second of hashlib's SHA-256, from memory, on one processor."""
    data, found = os.urandom(PIECE), hashlib.sha256()
    began = time.monotonic()
    for _ in range(size // PIECE):
        found.update(data)
    return speed(size, time.monotonic() - began)


def write_speed(place: Path, size: int) -> float:
    """Megabytes per second of writing one file, until it is on disk."""
    data, path = os.urandom(64 * PIECE), place / "written"
    began = time.monotonic()
    try:
        with path.open("wb", buffering=0) as file:
            for _ in range(max(1, size // len(data))):
                file.write(data)
            os.fsync(file.fileno())
        return speed(max(1, size // len(data)) * len(data), time.monotonic() - began)
    finally:
        path.unlink(missing_ok=True)


def fill(place: Path, size: int, files: int) -> None:
    """Files that nothing compresses, as models are; on disk afterwards."""
    each = size // files
    for number in range(files):
        with (place / f"model-{number}.bin").open("wb", buffering=0) as file:
            for at in range(0, each, PIECE):
                file.write(os.urandom(min(PIECE, each - at)))
            os.fsync(file.fileno())


def forget(place: Path) -> None:
    """Have the page cache let go of a directory's files."""
    for path in _files(place):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(handle)


def cached(place: Path) -> int:
    """Bytes of a directory's files that lie in the page cache: after `forget`, those that somebody has read."""
    words = ("fincore", "--bytes", "--noheadings", "--raw", "-o", "RES", *map(str, _files(place)))
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
    return sum(map(int, lines))


def disk_of(place: Path, speeds: list[float]) -> str:
    """The disk, in a few words: its size and how fast it wrote."""
    status = os.statvfs(place)
    size = f"disk of {status.f_blocks * status.f_frsize / 1000 / MB:.0f} GB"
    return f"{size} that took {min(speeds):.0f} to {max(speeds):.0f} MB/s with fsync" if speeds else size


def _files(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file() and not path.is_symlink())

"""Files that survive a crash and that nobody else can read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compose.stack.errors import Failed


def write_private(path: Path, text: str) -> None:
    """Replace a file atomically, readable by its owner only (0600), on disk before this returns."""
    with _named(path):
        name = _written(path, text)
        try:
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def create_private(path: Path, text: str) -> str:
    """Write a file unless it is there; return what it holds now, whoever wrote it first."""
    with _named(path):
        name = _written(path, text)
        try:
            os.link(name, path)
        except FileExistsError:
            return path.read_text(encoding="utf-8")
        finally:
            Path(name).unlink(missing_ok=True)
        sync_directory(path.parent)
    return text


def _written(path: Path, text: str) -> str:
    """A new file beside the path with the text, 0600 from its first moment; nothing is left when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return name


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what the system says (a full disk, a missing right) into an error that names the file."""
    try:
        yield
    except OSError as error:
        raise Failed(
            f"cannot be written: {error.strerror or error}", where=str(path), next=f"df -h {path.parent}"
        ) from error


def sync_directory(path: Path) -> None:
    """Put a directory's entries on disk, so that a rename in it survives a power cut."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""A directory as a backup target: on another disk, or one that another machine exports."""

from __future__ import annotations

import builtins
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from blocks.targets.base import CHUNK, Entry, Upload
from blocks.targets.directory_upload import DirectoryUpload, locked, partial_name, put_file, take_file
from blocks.targets.directory_walk import empty_directories, unfinished, walk
from compose.stack.backup.keys import safe_key
from compose.stack.errors import Failed, Refused


class DirectoryTarget:
    """A directory that somebody made; keys are paths below it, and no link in it is followed.

    Args:
        path: Absolute.
        name: What people call it; its path when empty.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        self.root = Path(os.path.realpath(path))
        self.name = name or str(path)
        self.place = self.origin = str(self.root)

    def begin(self, key: str, estimate: int = 0) -> Upload:
        """Start one object; see `Target`."""
        path = self._path(key)
        return DirectoryUpload(self.root, path, partial_name(path))

    def put(self, key: str, data: bytes) -> None:
        """Write a small object at once; see `Target`."""
        upload = self.begin(key)
        try:
            upload.write(data)
            upload.commit()
        finally:
            upload.abort()

    def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Copy a local file; see `Target`."""
        put_file(self.root, self._path(key), path, sha256)

    def take_file(self, path: Path, beside: str, key_of: Callable[[str], str], token: str) -> str:
        """Copy a local file under a key that its SHA-256 gives; see `TakesFiles`."""
        return take_file(self.root, self._path(beside), path, token, lambda sha256: self._path(key_of(sha256)))

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """An object's bytes; see `Target`."""
        return self._read(self._path(key), start, length)

    def local(self, key: str) -> Path:
        """Where an object lies; see `KeepsFiles`."""
        return self._path(key)

    def size(self, key: str) -> int | None:
        """Bytes of an object; see `Target`."""
        with self._named(path := self._path(key)):
            try:
                found = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def list(self, prefix: str) -> Iterator[Entry]:
        """Complete objects; see `Target`."""
        self._must_be_there()
        with self._named(self.root):
            for key, found in walk(self.root, prefix):
                yield Entry(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def delete(self, key: str) -> None:
        """Remove an object, and the directories that it leaves empty; see `Target`."""
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise Refused(
                f"we cannot delete there: {error.strerror}", where=str(path), next=f"ls -ld {path.parent}"
            ) from error
        self._remove_empty(path.parent)

    def skew(self) -> float:
        """None: the clock is ours."""
        return 0.0

    def room(self) -> int | None:
        """Free bytes of its file system."""
        with self._named(self.root):
            return shutil.disk_usage(self.root).free

    def sweep_uploads(self, older_than: datetime, prefix: str = "") -> builtins.list[str]:
        """Remove partial files that nobody has open and nobody wrote to since; see `Target`.

        Directories that they leave empty go too, and those in which a dead run had not begun a file yet.
        """
        self._must_be_there()
        swept = []
        with self._named(self.root):
            for key, path, modified in unfinished(self.root):
                if key.startswith(prefix) and modified < older_than.timestamp() and not locked(path):
                    path.unlink(missing_ok=True)
                    self._remove_empty(path.parent)
                    swept.append(key)
            for key, path, modified in empty_directories(self.root):
                if key.startswith(prefix) and modified < older_than.timestamp():
                    self._remove_empty(path)
        return sorted(swept)

    def check(self) -> None:
        """Write a file that nobody sees, and remove it."""
        if not self.root.is_dir():
            raise Refused("there is no such directory", where=self.name, next=f"mkdir -m 700 {self.root}")
        try:
            upload = DirectoryUpload(self.root, self.root / "check", partial_name(self.root / "check"))
            upload.abort()
        except Failed as error:
            raise Refused(error.what, where=self.name, next=f"ls -ld {self.root}; mount") from error

    def _remove_empty(self, directory: Path) -> None:
        """A directory and those above it, as far as nothing is in them."""
        while directory != self.root:
            try:
                directory.rmdir()
            except OSError:
                return
            directory = directory.parent

    def _must_be_there(self) -> None:
        """An unmounted disk is no empty target."""
        if not self.root.is_dir():
            then = f"mount it, or mkdir -m 700 {self.root}"
            raise Failed("there is no such directory", where=self.name, next=then)

    def _path(self, key: str) -> Path:
        """Where an object lies.

        Raises:
            Refused: The key is none, or leads through a link.
        """
        path = self.root / safe_key(key)
        for parent in path.parents:
            if parent == self.root:
                break
            if parent.is_symlink():
                raise Refused("is a symbolic link, which may lead elsewhere", where=str(parent))
        return path

    def _read(self, path: Path, start: int, length: int | None) -> Iterator[bytes]:
        with self._named(path):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb", buffering=0) as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise Failed("is no file", where=str(path))
            end = found.st_size if length is None else start + length
            if (needed := max(start, end)) > found.st_size:
                raise Failed(f"has {found.st_size} bytes, not the {needed} that were asked for", where=str(path))
            left = end - file.seek(start)
            while left:
                with self._named(path):
                    chunk = file.read(min(CHUNK, left))
                if not chunk:
                    raise Failed(f"cut short, {left} bytes before its end", where=str(path))
                left -= len(chunk)
                yield chunk

    @contextmanager
    def _named(self, path: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError as error:
            raise Failed("is not there", where=str(path), next="./ops backups lists what is") from error
        except OSError as error:
            what = "is a symbolic link" if error.errno == errno.ELOOP else f"cannot be read: {error.strerror}"
            raise Failed(what, where=str(path), next=f"ls -l {path}") from error

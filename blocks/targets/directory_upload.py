"""One file on its way into a target's directory: written beside its place, then renamed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from blocks.files import sync_directory
from compose.stack.backup.keys import UNFINISHED
from compose.stack.errors import Failed, OpsError

CHUNK = 1024**2
WRITEBACK = 8 * CHUNK
"""Bytes after which the disk is told to begin: else all of them wait in memory for the end."""
_NO_ROOM = {errno.ENOSPC: "no space is left", errno.EDQUOT: "the quota is used up", errno.EFBIG: "too big a file"}


def partial_name(path: Path, token: str = "") -> Path:
    """Where a file lies while it is written.

    Args:
        token: 16 hexadecimal digits; random ones when empty.
    """
    return path.with_name(f".{path.name}.{token or token_hex(8)}{UNFINISHED}")


class DirectoryUpload:
    """One file while it is written.

    Args:
        root: The target's directory, which is there.
        path: Where it will lie.
        partial: Where it lies until then; what is in it already stays.
    """

    def __init__(self, root: Path, path: Path, partial: Path) -> None:
        self._root, self._path, self._partial = root, path, partial
        with self._named():
            self._handle = self._opened()
            self.written = self._begun = os.fstat(self._handle).st_size
        self._open = True
        self.alone = _lock(self._handle)

    def write(self, data: bytes | memoryview) -> None:
        """Append bytes; see `Upload`."""
        self._must_be_open()
        with memoryview(data) as whole, whole.cast("B") as rest, self._named():
            at = 0
            while at < len(rest):
                at += os.write(self._handle, rest[at:])
        self.written += at
        self._write_back()

    def commit(self) -> None:
        """Put it on disk, then under its name; see `Upload`."""
        self._must_be_open()
        with self._named():
            os.fsync(self._handle)
            stored = os.fstat(self._handle).st_size
            if stored != self.written:
                raise Failed(f"{self.written} bytes were sent and {stored} are stored", where=str(self._path))
            os.replace(self._partial, self._path)
            self.close()
            sync_directory(self._path.parent)

    def rename(self, path: Path) -> None:
        """Have it lie somewhere else when it is complete."""
        with self._named():
            _make(self._root, path.parent)
        self._path = path

    def close(self) -> None:
        """Leave it as it is, for the next attempt."""
        if self._open:
            self._open = False
            os.close(self._handle)

    def abort(self) -> None:
        """Leave nothing behind; see `Upload`."""
        if self._open:
            with suppress(OSError):
                self._partial.unlink(missing_ok=True)
            self.close()

    def begin_again(self) -> None:
        """Throw away what was written."""
        with self._named():
            os.ftruncate(self._handle, 0)
        self.written = self._begun = 0

    def read_back(self) -> str:
        """SHA-256 of what was written, in hexadecimal."""
        found, at = hashlib.sha256(), 0
        with self._named():
            while chunk := os.pread(self._handle, CHUNK, at):
                found.update(chunk)
                at += len(chunk)
        return found.hexdigest()

    def _opened(self) -> int:
        flags = os.O_CREAT | os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        for _ in range(3):  # a deletion beside us may remove the directory while it is empty
            try:
                _make(self._root, self._path.parent)
                return os.open(self._partial, flags, 0o600)
            except FileNotFoundError:
                continue
        return os.open(self._partial, flags, 0o600)

    def _write_back(self) -> None:
        """Have the disk begin with what came; Linux does so for pages that are said not to be needed again."""
        if self.written - self._begun >= WRITEBACK:
            with suppress(OSError):
                os.posix_fadvise(self._handle, self._begun, self.written - self._begun, os.POSIX_FADV_DONTNEED)
            self._begun = self.written

    def _must_be_open(self) -> None:
        if not self._open:
            raise Failed("the upload has ended", where=str(self._path))

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = _NO_ROOM.get(error.errno or 0, f"cannot be written: {error.strerror or error}")
            raise Failed(reason, where=str(self._path), next=f"df -h {self._root}") from error


def put_file(root: Path, path: Path, source: Path, sha256: str) -> None:
    """Copy a file, going on with what an earlier attempt of the same file left.

    Raises:
        Failed: It is not the file that the hash is of, or there was no room.
    """

    def only_this(found: str) -> Path:
        if found != sha256:
            raise Failed("its bytes are not those of the SHA-256 that was asked for", where=str(source))
        return path

    _put(root, path, source, sha256[:16], only_this)


def take_file(root: Path, beside: Path, source: Path, token: str, named: Callable[[str], Path]) -> str:
    """Copy a file under a name that its own SHA-256 gives, known when it has been read; that SHA-256.

    Args:
        beside: Where it lies until then, in the same file system.
        token: 16 hexadecimal digits: the same ones for the same file, so that it goes on where it stopped.
        named: The place for a SHA-256; when it raises, nothing of the file stays.

    Raises:
        Failed: It cannot be read, or there was no room.
    """
    return _put(root, beside, source, token, named)


def _put(root: Path, path: Path, source: Path, token: str, named: Callable[[str], Path]) -> str:
    upload = DirectoryUpload(root, path, partial_name(path, token))
    if not upload.alone:  # another process copies the same file
        upload.close()
        upload = DirectoryUpload(root, path, partial_name(path))
    try:
        resumed = upload.written > 0
        if resumed and upload.written > _size(source):
            upload.begin_again()
        copied = _copy(source, upload)
        place = _or_nothing(upload, named, copied)
        if resumed and upload.read_back() != copied:
            upload.begin_again()
            copied = _copy(source, upload)
            place = _or_nothing(upload, named, copied)
        upload.rename(place)
        upload.commit()
    except Failed as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_ROOM:
            upload.abort()  # what arrived would only keep the disk full
        raise
    finally:
        upload.close()
    return copied


def _or_nothing(upload: DirectoryUpload, named: Callable[[str], Path], sha256: str) -> Path:
    try:
        return named(sha256)
    except OpsError:
        upload.abort()
        raise


def locked(path: Path) -> bool:
    """Whether a process is writing this partial file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _lock(handle)
    finally:
        os.close(handle)


def _copy(source: Path, upload: DirectoryUpload) -> str:
    """Append what is missing; SHA-256 of the whole source, reckoned beside the writing."""
    found, skip = hashlib.sha256(), upload.written
    try:
        with source.open("rb", buffering=0) as file, ThreadPoolExecutor(1) as beside:
            while chunk := file.read(CHUNK):
                hashed = beside.submit(found.update, chunk)
                if skip < len(chunk):
                    upload.write(memoryview(chunk)[skip:])
                skip = max(0, skip - len(chunk))
                hashed.result()
    except OSError as error:
        raise Failed(f"cannot be read: {error.strerror or error}", where=str(source)) from error
    return found.hexdigest()


def _size(source: Path) -> int:
    try:
        return source.stat().st_size
    except OSError as error:
        raise Failed(f"cannot be read: {error.strerror or error}", where=str(source)) from error


def _lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _make(root: Path, directory: Path) -> None:
    """Make the directories below the root that are missing, each for us alone and on disk."""
    missing = []
    while directory != root and not directory.is_dir():
        missing.append(directory)
        directory = directory.parent
    for one in reversed(missing):
        with suppress(FileExistsError):
            one.mkdir(mode=0o700)
        sync_directory(one.parent)

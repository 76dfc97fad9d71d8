"""Encryption by age: to recipients that anybody may know, opened by identities that this machine need not have."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pyrage

from blocks.backup.identities import Identities
from blocks.backup.pipe import Broken, Pipe
from blocks.backup.pull import Pull
from compose.stack.errors import Damaged, Failed, Refused

LONGEST = 64 * 1024


def parse_recipients(text: str) -> tuple[str, ...]:
    """Read age public keys, one on each line or separated by commas; sorted, each once.

    Args:
        text: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`; a line that begins with `#` is a comment.

    Raises:
        Refused: One is none; a secret key is refused without being shown.
    """
    if len(text) > LONGEST:
        raise Refused("that is no list of recipients: too long", where="recipients")
    found = set()
    for line in text.splitlines():
        for part in () if line.lstrip().startswith("#") else line.split(","):
            words = part.split()
            if words:
                name = " ".join(words[:2]) if words[0].startswith("ssh-") else " ".join(words)
                recipient_of(name)
                found.add(name)
    return tuple(sorted(found))


def recipient_of(name: str) -> object:
    """The key behind a recipient's name.

    Raises:
        Refused: It is none.
    """
    if name.upper().startswith("AGE-SECRET-KEY-"):
        raise Refused(
            "that is a secret key, which a backup never needs", where="recipient", next="age-keygen -y KEYFILE"
        )
    try:
        key: object = (pyrage.ssh if name.startswith("ssh-") else pyrage.x25519).Recipient.from_str(name)
    except pyrage.RecipientError as error:
        raise Refused(
            f"{name[:24]!r}… is no recipient of age ({error})", where="recipient", next="age-keygen -y KEYFILE"
        ) from None
    return key


class Seal:
    """Plain bytes in; what `age -d` opens goes to a function, called on a thread of its own.

    Args:
        recipients: Who can open it.
        out: Takes the encrypted bytes in order.
    """

    def __init__(self, recipients: tuple[str, ...], out: Callable[[bytes], object]) -> None:
        keys = [recipient_of(name) for name in recipients]
        self._pipe = Pipe()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, args=(keys, _Out(out)), name="seal", daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Take the next plain bytes; raises what the function raised."""
        try:
            self._pipe.write(data)
        except Broken:
            self._thread.join()
            raise self._reason() from None

    def end(self) -> None:
        """No more comes; returns when everything was handed on, raises what the function raised."""
        self._pipe.end()
        self._thread.join()
        if self._error is not None:
            raise self._reason() from None

    def abort(self) -> None:
        """Give up; never raises, safe to call at any time."""
        self._pipe.fail(Broken())
        self._thread.join()

    def _work(self, keys: list[object], out: _Out) -> None:
        try:
            pyrage.encrypt_io(self._pipe, out, keys)
        except BaseException as error:  # noqa: BLE001 (raised again in the writer's thread)
            self._error = out.error or error
            self._pipe.fail(self._error)

    def _reason(self) -> BaseException:
        return self._error if self._error is not None else Failed("encryption was given up")


class _Out:
    """What the library writes to; remembers the error that the library would turn into text."""

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self._out = out
        self.error: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            self._out(data)
        except BaseException as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""


def seal_bytes(data: bytes, recipients: tuple[str, ...]) -> bytes:
    """Encrypt something small."""
    sealed: bytes = pyrage.encrypt(data, [recipient_of(name) for name in recipients])
    return sealed


def open_bytes(data: bytes, identities: Identities, *, where: str) -> bytes:
    """Decrypt something small.

    Raises:
        Failed: None of the keys opens it, or it was changed.
    """
    return b"".join(opened(iter([data]), identities, where=where))


def opened(chunks: Iterator[bytes], identities: Identities, *, where: str) -> Iterator[bytes]:
    """Decrypt a stream; every chunk that comes out is authentic, but more may be missing until it ends.

    Args:
        chunks: The encrypted bytes; read on a thread of its own.
        where: What to call the file in errors.

    Raises:
        Failed: None of the keys opens it.
        Damaged: It was changed, or ends too early; or what `chunks` raised.
    """
    if not identities:
        raise Refused("is encrypted; a key is needed", where=where, next="--identity KEYFILE, or fd:N")
    pipe, errors = Pipe(), list[BaseException]()
    source = _Kept(chunks)

    def work() -> None:
        try:
            pyrage.decrypt_io(Pull(source), pipe, list(identities.keys))
            pipe.end()
        except BaseException as error:  # noqa: BLE001 (raised again in the reader's thread)
            errors.append(source.error or error)
            pipe.fail(error)

    thread = threading.Thread(target=work, name="open", daemon=True)
    thread.start()
    try:
        yield from pipe.chunks()
    except Broken:
        thread.join()
        raise _reason(errors[0], where) from None
    finally:
        pipe.fail(Broken())
        thread.join()


class _Kept:
    """An iterator that remembers its own error, which the library would turn into text."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.error: BaseException | None = None

    def __iter__(self) -> _Kept:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


def _reason(error: BaseException, where: str) -> BaseException:
    if not isinstance(error, (pyrage.DecryptError, OSError)):
        return error
    if "matching" in str(error):
        return Failed("none of the keys opens it", where=where, next="the key of one of its recipients")
    return Damaged(f"cannot be decrypted: {error}", where=where, next="another copy, or another target")

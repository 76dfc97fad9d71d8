"""Secret keys that open backups: read from a file or a descriptor when they are needed, and never kept."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pyrage

from compose.stack.errors import Refused

LARGEST = 64 * 1024
MADE_BY = "age-keygen -o KEYFILE makes one"


@dataclass(frozen=True)
class Identities:
    """Some secret keys.

    Args:
        recipients: Public keys of those that tell (age's own; SSH keys do not).
    """

    keys: tuple[object, ...] = field(repr=False, default=())
    recipients: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """True when there is one."""
        return bool(self.keys)


NOBODY = Identities()


def read_identities(source: str) -> Identities:
    """Read secret keys.

    Args:
        source: Path of a file as `age-keygen` or `ssh-keygen` make it, or `fd:N` for a descriptor that is open.

    Raises:
        Refused: There is none; what was read is never shown.
    """
    return parse_identities(_read(source), where=source)


def parse_identities(data: bytes, *, where: str) -> Identities:
    """Secret keys from a file's bytes.

    Args:
        where: What to call the file in errors.

    Raises:
        Refused: It holds none, or is itself encrypted.
    """
    if data.startswith(b"age-encryption.org/"):
        raise Refused(
            "the key file is itself encrypted", where=where, next="age -d KEYFILE | ./ops … with fd:0 as the key"
        )
    if data.startswith(b"-----BEGIN"):
        try:
            return Identities((pyrage.ssh.Identity.from_buffer(data),))
        except pyrage.IdentityError:
            raise Refused("is no SSH key that age can use", where=where, next="an ed25519 or RSA key") from None
    lines = [line.strip() for line in data.decode("utf-8", "replace").splitlines()]
    try:
        keys = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError:
        raise Refused("has a line that is no secret key of age", where=where, next=MADE_BY) from None
    if not keys:
        raise Refused("holds no secret key", where=where, next=MADE_BY)
    return Identities(tuple(keys), tuple(str(key.to_public()) for key in keys))


def _read(source: str) -> bytes:
    if source.upper().startswith("AGE-SECRET-KEY-"):
        raise Refused(
            "a secret key on a command line is seen by everybody on this machine", where="identity",
            next="give the path of a file, or fd:N",
        )  # fmt: skip
    try:
        handle = os.dup(int(source[3:])) if source.startswith("fd:") else os.open(Path(source), os.O_RDONLY)
        with os.fdopen(handle, "rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else "no number"
        raise Refused(f"cannot be read: {said}", where=source[:200], next="a key file's path, or fd:N") from None
    if len(data) > LARGEST:
        raise Refused("is no key file: too large", where=source)
    return data

"""Ed25519 signatures of manifests and records, as `openssl pkeyutl` checks them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from blocks.files import create_private
from blocks.home import Home
from compose.stack.errors import Refused

KEY = "backup-signing.key"
TRUSTED = "trusted"
LARGEST = 16 * 1024


@dataclass(frozen=True)
class Signer:
    """Who signed something.

    Args:
        fingerprint: SHA-256 of the public key (DER), in hexadecimal.
        foreign: Nobody here had trusted that key before; it was accepted because somebody said so now.
    """

    fingerprint: str
    foreign: bool = False


@dataclass(frozen=True)
class Keyring:
    """The key that we sign with and those that we believe.

    Args:
        trusted: Public keys in PEM by fingerprint; our own is always among them.
    """

    private: Ed25519PrivateKey = field(repr=False)
    trusted: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, home: Home) -> Keyring:
        """This home's keys: its own, made at first use, and those in `keys/trusted/*.pem`.

        Raises:
            Refused: A file in there is no key.
        """
        place = home.release_key.parent
        made = _private_pem(Ed25519PrivateKey.generate())
        private = _private_key(create_private(place / KEY, made), place / KEY)
        found = [_read(path) for path in sorted((place / TRUSTED).glob("*.pem"))]
        return cls(private, {fingerprint(pem): pem for pem in (public_pem(private), *found)})

    @property
    def public(self) -> str:
        """Our public key in PEM."""
        return public_pem(self.private)

    def sign(self, data: bytes) -> bytes:
        """A detached signature: 64 bytes."""
        return self.private.sign(data)

    def check(
        self, data: bytes, signature: bytes, *, claimed: str = "", trust: bool = False, where: str
    ) -> Signer:
        """Who signed these bytes.

        Args:
            claimed: Public key in PEM of whoever says so; believed only with `trust`.
            trust: Somebody accepts a key that this home does not know.
            where: What it is about, for the error.

        Raises:
            Refused: Nobody that is trusted signed it.
        """
        for name, pem in self.trusted.items():
            if verifies(pem, data, signature):
                return Signer(name)
        foreign = bool(claimed) and verifies(claimed, data, signature)
        if foreign and trust:
            return Signer(fingerprint(claimed), foreign=True)
        if foreign:
            raise Refused(
                f"was signed by a key that is not trusted here ({fingerprint(claimed)[:16]}…)", where=where,
                next="--trust, if you know where it comes from; or put the public key into keys/trusted",
            )  # fmt: skip
        raise Refused("its signature does not hold", where=where, next="do not use it; take another backup")


def verifies(pem: str, data: bytes, signature: bytes) -> bool:
    """Whether a public key's owner signed these bytes; no for whatever is no such key."""
    try:
        _public_key(pem).verify(signature, data)
    except (InvalidSignature, Refused):
        return False
    return True


def fingerprint(pem: str) -> str:
    """SHA-256 of a public key, as `openssl pkey -pubin -outform DER | sha256sum` gives it.

    Raises:
        Refused: It is no Ed25519 public key.
    """
    return hashlib.sha256(
        _public_key(pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    ).hexdigest()


def public_pem(key: Ed25519PrivateKey) -> str:
    """The public half in PEM."""
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def trust_key(home: Home, pem: str) -> str:
    """Believe a key from now on; its fingerprint.

    Raises:
        Refused: It is no Ed25519 public key.
    """
    name = fingerprint(pem)
    create_private(home.release_key.parent / TRUSTED / f"{name[:32]}.pem", pem)
    return name


def _private_pem(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _private_key(pem: str, path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused("is no Ed25519 key", where=str(path), next="put it back from where you keep a copy")
    return key


def _public_key(pem: str) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise Refused("that is no Ed25519 public key", next="openssl pkey -in KEY -pubout")
    return key


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            pem = file.read(LARGEST)
        fingerprint(pem)
    except (OSError, ValueError, Refused) as error:
        raise Refused(f"cannot be used as a trusted key: {error}", where=str(path), next="remove it") from None
    return pem

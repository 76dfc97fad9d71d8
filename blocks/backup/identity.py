"""Who a target belongs to: one installation on one host, however many stacks it has."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, ValidationError

from blocks.backup.signing import Keyring, fingerprint
from blocks.files import create_private
from blocks.home import Home
from blocks.targets.base import Target
from compose.stack.backup.jsontext import dumps, loads
from compose.stack.backup.layout import CLAIMS, checked_stack_id, claim_key, identity_key, public_key_key
from compose.stack.backup.manifest import Strict
from compose.stack.errors import Refused

LARGEST = 64 * 1024
MACHINE_ID = Path("/etc/machine-id")


class Identity(Strict):
    """One stack of one installation.

    Args:
        machine: Stands for the host: a hash of its machine id, or of its name where it has none.
        public_key: What its backups are signed with, PEM.
    """

    stack_id: str
    stack: str
    host: str
    machine: str
    public_key: str
    made: AwareDatetime

    @property
    def owner(self) -> tuple[str, str]:
        """What tells installations apart: another host, or another key."""
        return self.machine, fingerprint(self.public_key)


@dataclass(frozen=True)
class Host:
    """This host: its name, and what stands for it."""

    name: str
    machine: str

    @classmethod
    def here(cls, machine_id: Path = MACHINE_ID) -> Host:
        """As the system tells."""
        try:
            said = machine_id.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            said = ""
        name = platform.node()
        return cls(name, hashlib.sha256(f"sutazai-ops backup {said or name}".encode()).hexdigest()[:32])


def own_identity(home: Home, stack: str, keyring: Keyring, host: Host | None = None) -> Identity:
    """A stack's identity on this host, made at first use in `stacks/NAME/identity.json`.

    Args:
        stack: The stack's name, which its directory has.

    Raises:
        Refused: What is there cannot be read.
    """
    host = host or Host.here()
    name = re.sub(r"[^a-z0-9_-]+", "-", stack.lower()).strip("-_")[:48] or "stack"
    identity = Identity(
        stack_id=f"{name}-{os.urandom(4).hex()}", stack=stack, host=host.name, machine=host.machine,
        public_key=keyring.public, made=datetime.now(UTC),
    )  # fmt: skip
    path = home.stack(stack) / "identity.json"
    kept = _parsed(create_private(path, _text(identity).decode()).encode(), str(path))
    return kept.model_copy(update={"host": host.name, "machine": host.machine, "public_key": keyring.public})


def claim(target: Target, identity: Identity, keyring: Keyring, *, adopt: bool = False) -> None:
    """Take a target into use for a stack, or see that it is ours already.

    Args:
        adopt: Go on although another installation's backups lie there: it is gone, or both know what they do.

    Raises:
        Refused: Another host's, or another installation's, with its name.
    """
    _alone(target, identity, adopt)
    key, data = identity_key(identity.stack_id), _text(identity)
    there = _small(target, key)
    if there is None or adopt or _parsed(there, key).host != identity.host:
        target.put(f"{key}.sig", keyring.sign(data))
        target.put(key, data)
        target.put(public_key_key(identity.stack_id), identity.public_key.encode())
        target.put(claim_key(identity.stack_id), data)
        _alone(target, identity, adopt)


def identities(target: Target) -> Iterator[Identity]:
    """Every stack that has backups on a target, as they say themselves; nothing here is proven.

    Raises:
        Refused: A claim cannot be read.
    """
    for entry in target.list(CLAIMS):
        data = _small(target, entry.key)
        if data is not None:
            yield _parsed(data, f"{target.name}: {entry.key}")


def signed_identity(target: Target, stack_id: str, keyring: Keyring, *, trust: bool = False) -> Identity:
    """A stack's identity as it signed it itself.

    Args:
        trust: Accept one that a key signed which this home does not know.

    Raises:
        Refused: There is none, or its signature does not hold.
    """
    key = identity_key(stack_id)
    where = f"{target.name}: {key}"
    data, signature = _small(target, key), _small(target, f"{key}.sig")
    if data is None or signature is None:
        raise Refused("there is no such stack, or it is not signed", where=where, next="./ops backups")
    identity = _parsed(data, where)
    keyring.check(data, signature, claimed=identity.public_key, trust=trust, where=where)
    return identity


def _alone(target: Target, identity: Identity, adopt: bool) -> None:
    for other in identities(target):
        if other.owner != identity.owner and not adopt:
            kind = "another host" if other.machine != identity.machine else "another installation on this host"
            raise Refused(
                f"{kind} ({other.host}, stack {other.stack}, {other.stack_id}) has its backups there",
                where=target.name, next="a place of its own for each host, or --adopt if that one is gone",
            )  # fmt: skip


def _text(identity: Identity) -> bytes:
    return dumps({"schema": 1, **identity.model_dump(mode="json")})


def _parsed(data: bytes, where: str) -> Identity:
    raw = loads(data, LARGEST, "identity")
    try:
        if not isinstance(raw, dict) or raw.pop("schema", None) != 1:
            raise Refused("is an identity of an unknown schema", where=where)
        identity = Identity.model_validate(raw)
    except ValidationError as error:
        raise Refused(f"is no identity: {error.errors()[0]['msg']}", where=where) from None
    checked_stack_id(identity.stack_id)
    fingerprint(identity.public_key)
    return identity


def _small(target: Target, key: str) -> bytes | None:
    size = target.size(key)
    if size is None:
        return None
    if size > LARGEST:
        raise Refused(f"has {size} bytes", where=f"{target.name}: {key}", next="do not use it")
    return b"".join(target.read(key))

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

from blocks.backup.places import Places
from blocks.backup.signing import Keyring, fingerprint
from blocks.files import create_private
from blocks.home import Home
from blocks.targets.base import Target
from compose.stack.backup.jsontext import dumps, loads
from compose.stack.backup.layout import CLAIMS, checked_stack_id, claim_key, identity_key, public_key_key
from compose.stack.backup.manifest import Strict
from compose.stack.errors import Failed, Refused

LARGEST = 64 * 1024
MACHINE_ID = Path("/etc/machine-id")


class Identity(Strict):
    """One stack of one installation.

    Args:
        machine: Stands for the host: a hash of its machine id, or of its name where it has none.
        public_key: What its backups are signed with, PEM.
        adopted_by: In a claim: the installation that took the place over from this one, see `mark`.
    """

    stack_id: str
    stack: str
    host: str
    machine: str
    public_key: str
    made: AwareDatetime
    adopted_by: str = ""

    @property
    def mark(self) -> str:
        """Stands for the installation: its host and its key."""
        return ":".join(self.owner)

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


def claim(
    target: Target, identity: Identity, keyring: Keyring, *, adopt: bool = False, places: Places | None = None
) -> None:
    """Take a target into use for a stack, or see that it is ours already.

    Args:
        adopt: Take it over from another installation, which is gone, from now on; or take it although it was ours
            and holds nothing of ours now.
        places: Those that were ours before.

    Raises:
        Refused: Another host's, or another installation's, with its name.
        Failed: It was ours, and nothing of ours is there.
    """
    _alone(target, identity, adopt)
    key, data = identity_key(identity.stack_id), _text(identity)
    there = _small(target, key)
    if places is not None and not adopt:
        require_there(target, identity.stack_id, places)
    if there is None or adopt or _parsed(there, key).host != identity.host:
        target.put(f"{key}.sig", keyring.sign(data))
        target.put(key, data)
        target.put(public_key_key(identity.stack_id), identity.public_key.encode())
        target.put(claim_key(identity.stack_id), data)
        if adopt:
            _take_over(target, identity)
        _alone(target, identity, adopt)
    if places is not None:
        places.add(target.origin)


def require_there(target: Target, stack_id: str, places: Places) -> None:
    """See that a place that had a stack's backups still has something of it.

    Raises:
        Failed: It has nothing.
    """
    if target.origin in places and target.size(identity_key(stack_id)) is None:
        what = f"{target.place} had backups of this stack before, and has nothing of it now: is it not mounted?"
        raise Failed(what, where=target.name, next="mount it; or ./ops backup --adopt, if it is a new place")


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
        if not _ours(other, identity) and not adopt:
            kind = "another host" if other.machine != identity.machine else "another installation on this host"
            raise Refused(
                f"{kind} ({other.host}, stack {other.stack}, {other.stack_id}) has its backups there",
                where=target.name, next="a place of its own for each host, or --adopt if that one is gone",
            )  # fmt: skip


def _ours(other: Identity, identity: Identity) -> bool:
    return other.owner == identity.owner or other.adopted_by == identity.mark


def _take_over(target: Target, identity: Identity) -> None:
    """Note in the claims of other installations that the place is ours: they are refused, and we are not."""
    for other in [one for one in identities(target) if not _ours(one, identity)]:
        noted = other.model_copy(update={"adopted_by": identity.mark})
        target.put(claim_key(other.stack_id), _text(noted))


def _text(identity: Identity) -> bytes:
    return dumps({"schema": 1, **identity.model_dump(mode="json", exclude_defaults=True)})


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

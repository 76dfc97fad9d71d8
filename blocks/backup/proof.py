"""Somebody holds the keys: a round trip before the first backup, not a discovery after the disaster."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

from blocks.backup.identities import Identities
from blocks.backup.sealing import open_bytes, seal_bytes
from blocks.files import create_private, write_private
from blocks.home import Home
from compose.stack.backup.jsontext import loads
from compose.stack.errors import Failed, Refused

NEXT = (
    "./ops key prove KEYFILE, with --recipient NAME for one that the settings do not name yet; "
    "or decrypt the challenge elsewhere and give its one line"
)
LARGEST = 64 * 1024


def challenge(home: Home, recipient: str) -> str:
    """A line encrypted to one recipient, made once; whoever can read the line holds the key.

    Args:
        recipient: An age public key.

    Returns:
        The encrypted line in hexadecimal.
    """
    path = _place(home, recipient)
    if not path.exists():
        line = f"sutazai-proof-{secrets.token_hex(16)}"
        sealed = seal_bytes(line.encode(), (recipient,)).hex()
        record = {"recipient": recipient, "challenge": sealed, "answer": _hash(line), "proven": ""}
        create_private(path, json.dumps(record) + "\n")
    return str(_record(path, recipient)["challenge"])


def challenge_bytes(home: Home, recipient: str) -> bytes:
    """The challenge as a file that `age -d` reads."""
    return bytes.fromhex(challenge(home, recipient))


def prove(
    home: Home, recipients: tuple[str, ...], identities: Identities, now: datetime | None = None
) -> list[str]:
    """Decrypt the challenges that some keys open, and record it; the recipients that are proven by that.

    Raises:
        Refused: The keys open none of them.
    """
    proven = []
    for recipient in recipients:
        try:
            line = open_bytes(challenge_bytes(home, recipient), identities, where="challenge")
        except Failed:
            continue
        if _accept(home, recipient, line.decode("utf-8", "replace"), now):
            proven.append(recipient)
    if not proven:
        raise Refused("the key opens nothing that is sealed to the recipients", where="identity", next=NEXT)
    return proven


def answer(home: Home, recipients: tuple[str, ...], line: str, now: datetime | None = None) -> str:
    """Take a line that somebody decrypted elsewhere; the recipient that it proves.

    Raises:
        Refused: It is the answer to none of the challenges.
    """
    for recipient in recipients:
        if _place(home, recipient).exists() and _accept(home, recipient, line.strip(), now):
            return recipient
    raise Refused("that is no challenge's line", where="proof", next=NEXT)


def unproven(home: Home, recipients: tuple[str, ...]) -> tuple[str, ...]:
    """The recipients of whom nobody showed yet that he holds the key."""
    return tuple(
        recipient
        for recipient in recipients
        if not ((path := _place(home, recipient)).exists() and _record(path, recipient)["proven"])
    )


def require_proven(home: Home, recipients: tuple[str, ...]) -> None:
    """Let nothing be encrypted to a key that nobody was seen to hold.

    Raises:
        Refused: Some are not proven; all are named.
    """
    missing = unproven(home, recipients)
    if missing:
        names = ", ".join(name if len(name) < 80 else f"{name[:60]}…" for name in missing)
        raise Refused(f"nobody has shown that they hold the key of {names}", where="recipients", next=NEXT)


def _accept(home: Home, recipient: str, line: str, now: datetime | None) -> bool:
    path = _place(home, recipient)
    record = _record(path, recipient)
    if not secrets.compare_digest(_hash(line), str(record["answer"])):
        return False
    when = (now or datetime.now(UTC)).isoformat(timespec="seconds")
    write_private(path, json.dumps({**record, "proven": when}) + "\n")
    return True


def _place(home: Home, recipient: str) -> Path:
    return home.release_key.parent / "proofs" / f"{_hash(recipient)[:32]}.json"


def _record(path: Path, recipient: str) -> dict[str, object]:
    raw = loads(path.read_bytes(), LARGEST, "proof")
    if not isinstance(raw, dict) or raw.get("recipient") != recipient or not {"answer", "proven"} <= set(raw):
        raise Refused("is no record of a proof", where=str(path), next="remove it, then prove the key again")
    return raw


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()

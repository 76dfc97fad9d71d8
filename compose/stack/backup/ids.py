"""Names of backups: the time in UTC, then something random; they sort by age and are safe as file names."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from compose.stack.errors import Refused

PATTERN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}", re.ASCII)
FORMAT = "%Y%m%dT%H%M%SZ"


def backup_id(now: datetime, random: bytes) -> str:
    """A new id: `20261124T031500Z-9f86d081`.

    Args:
        now: The moment, with its offset from UTC.
        random: At least four random bytes.
    """
    return f"{now.astimezone(UTC).strftime(FORMAT)}-{random[:4].hex()}"


def checked_id(text: str) -> str:
    """An id that a person or a target gave.

    Raises:
        Refused: It is none; slashes, newlines and all else that does not belong there included.
    """
    if not PATTERN.fullmatch(text):
        raise Refused(f"{text!r} is no backup id", next="./ops backups lists them")
    moment_of(text)
    return text


def is_id(text: str) -> bool:
    """Whether a name that lies on a target is an id, of a moment that there was."""
    try:
        checked_id(text)
    except Refused:
        return False
    return True


def moment_of(identifier: str) -> datetime:
    """When a backup was begun.

    Raises:
        Refused: The id names no moment.
    """
    try:
        return datetime.strptime(identifier[:16], FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise Refused(f"{identifier!r} is no backup id", next="./ops backups lists them") from None

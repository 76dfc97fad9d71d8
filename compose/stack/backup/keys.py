"""Keys of objects on a target: relative posix paths that stay where they belong."""

from __future__ import annotations

import unicodedata

from compose.stack.errors import Refused

LONGEST = 512
"""Characters of a key below a target's prefix."""
LONGEST_PART = 200
"""Bytes between two slashes; file systems take 255, and a file that is being written has a longer name."""
UNFINISHED = ".partial"
"""How names of files end that are being written."""


def safe_key(key: str) -> str:
    """The key itself when it is a plain relative path.

    Args:
        key: Posix path below a target's prefix: `stack/backups/ID/postgres/sutazai.dump.zst`.

    Raises:
        Refused: It is absolute, has `.`, `..` or empty parts, backslashes, control characters or line ends,
            no valid Unicode, is longer than 512 characters (a part of it: 200 bytes), or has a part that ends
            with `.partial`.
    """
    reason = _wrong(key)
    if reason:
        raise Refused(f"{key[:80]!r} is no key on a target: {reason}", next="do not use it")
    return key


def is_safe(key: str) -> bool:
    """Whether `safe_key` takes it."""
    return not _wrong(key)


def _wrong(key: str) -> str:
    if not key:
        return "it is empty"
    if len(key) > LONGEST:
        return f"it is longer than {LONGEST} characters"
    if "\\" in key:
        return "it has a backslash"
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in key):
        return "it has control characters"
    parts = key.split("/")
    if key.startswith("/") or "" in parts:
        return "it is absolute or has empty parts"
    if "." in parts or ".." in parts:
        return "it leads elsewhere"
    if any(len(part.encode()) > LONGEST_PART for part in parts):
        return f"a part of it is longer than {LONGEST_PART} bytes"
    if any(part.endswith(UNFINISHED) for part in parts):
        return f"it ends with {UNFINISHED}, as names of unfinished files do"
    return ""

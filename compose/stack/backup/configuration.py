"""Which files of a stack's configuration may lie in clear, and how they are called in the archive."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from compose.stack.redact import Redactor

SECRET_FILES = re.compile(
    r"(^|/)(\.env(\..*)?|.*\.env|.*\.(pem|key|p12|pfx|jks|keytab|p8|ppk|kdbx|ovpn|tfstate|kubeconfig)"
    r"|id_(rsa|dsa|ed25519|ecdsa)|\.netrc|\.pgpass|\.htpasswd|\.npmrc|\.pypirc|\.my\.cnf|\.dockercfg|\.docker/config\.json"
    r"|acme[^/]*\.json|kubeconfig[^/]*|\.kube/config|wg[^/]*\.conf|rclone\.conf"
    r"|[^/]*service[-_]?account[^/]*\.json|[^/]*(secret|password|token|credential)[^/]*)$",
    re.IGNORECASE,
)
SECRET_DIRECTORIES = re.compile(r"(^|/)\.?secrets?/", re.IGNORECASE)
PRIVATE_KEYS = re.compile(
    rb"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:\\[rn]|\s)+[A-Za-z0-9+/]"
    rb"|\bAGE-SECRET-KEY-1[A-Z0-9]{50}|^PuTTY-User-Key-File-|^\s*PrivateKey\s*=\s*[A-Za-z0-9+/]{43}="
    rb"|\bclient-key-data:\s*[A-Za-z0-9+/]|\b_(?:authToken|password)\s*=\s*[A-Za-z0-9]"
    rb"|\baws_secret_access_key\s*=\s*[A-Za-z0-9+/]{40}",
    re.MULTILINE,
)
EXAMPLES = re.compile(r"\.(example|sample|template|dist|py|md)$", re.IGNORECASE)
FILES = "files"
"""Below it, the archives of a configuration hold the host's files by their absolute paths."""
ALWAYS_IGNORED = (".git", "**/__pycache__", "**/node_modules")


@dataclass(frozen=True)
class Pattern:
    """One line of a .dockerignore."""

    regex: re.Pattern[str]
    keeps: bool = False


def archive_name(path: str) -> str:
    """A file's name in the archive: its own absolute path, below `files`."""
    return posixpath.join(FILES, posixpath.normpath(path).lstrip("/"))


def looks_secret(path: str) -> bool:
    """Whether a file's name says that it holds secrets, or that of a directory above it."""
    named = bool(SECRET_FILES.search(path)) and not EXAMPLES.search(path)
    return named or bool(SECRET_DIRECTORIES.search(path))


def holds_secret(data: bytes, redactor: Redactor) -> bool:
    """Whether a file has one of the stack's secrets written out in it, or anybody's private key."""
    return bool(PRIVATE_KEYS.search(data)) or any(value.encode() in data for value in redactor.values)


def ignore_patterns(text: str) -> tuple[Pattern, ...]:
    """The patterns of a .dockerignore, and what is never worth saving."""
    lines = [*ALWAYS_IGNORED, *(line.strip() for line in text.splitlines())]
    return tuple(_pattern(line) for line in lines if line and not line.startswith("#"))


def _pattern(line: str) -> Pattern:
    keeps = line.startswith("!")
    path = posixpath.normpath(line.lstrip("!").strip()).strip("/")
    parts = re.split(r"(\*\*/?|\*|\?)", path)
    known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    body = "".join(known.get(part, re.escape(part)) for part in parts)
    return Pattern(re.compile(rf"{body}(?:/.*)?"), keeps)


def is_ignored(patterns: Sequence[Pattern], path: str) -> bool:
    """Whether a path of a build context is left out; the last pattern that fits decides."""
    ignored = False
    for pattern in patterns:
        if pattern.regex.fullmatch(path):
            ignored = not pattern.keeps
    return ignored

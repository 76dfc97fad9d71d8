"""Which files in an online store's place are its own, saved by its tool, and what else lies there."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from compose.stack.backup.component import Kind
from compose.stack.backup.configuration import looks_secret
from compose.stack.preflight.data_paths import covers

REST = "rest"
"""Stem of the archives of what else lies in a store's place."""

KNOWN: dict[Kind, tuple[str, ...]] = {
    Kind.POSTGRES: (
        "PG_VERSION", "base", "global", "pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_multixact", "pg_notify",
        "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans", "pg_tblspc",
        "pg_twophase", "pg_wal", "pg_xact", "postmaster.opts", "postmaster.pid", "current_logfiles",
        "backup_label*", "backup_manifest", "tablespace_map*", "*.signal",
    ),
    Kind.REDIS: (
        "dump.rdb", "appendonlydir", "appendonly.aof*", "temp-*.rdb", "temp-*.aof", "temp-rewriteaof*",
    ),
    Kind.QDRANT: ("collections", "aliases", "raft_state.json", ".deleted"),
    Kind.PROMETHEUS: (
        "wal", "wbl", "chunks_head", "lock", "queries.active", "*.tmp-for-creation", "*.tmp-for-deletion",
        "[0-9A-HJKMNP-TV-Z]" * 26,
    ),
}  # fmt: skip
"""Names in the data directory that the store's tool saves, or that are nothing without the running server."""

SECRET_LINE = re.compile(r"(?im)^[^#\n]*(pass|secret|auth|token|key|conninfo|^\s*user\s)")

List = Callable[[str], list[str]]
"""The names in a directory inside the container."""


@dataclass(frozen=True)
class Own:
    """What is a store's own.

    Args:
        data: Its data directory, inside the container.
        names: Patterns of names in it, beside those of its kind.
        paths: Files and directories elsewhere that are its own too.
        notes: What a person should know of them.
    """

    kind: Kind
    data: str
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def holds(self, path: str) -> bool:
        """Whether a path is a file or directory of the store's own."""
        if path in self.paths:
            return True
        place, name = posixpath.split(path)
        known = (*KNOWN.get(self.kind, ()), *self.names)
        return place == self.data and any(fnmatchcase(name, pattern) for pattern in known)

    def leads(self, path: str) -> bool:
        """Whether something of its own lies deeper below a path."""
        return covers(path, self.data) or any(path != one and covers(path, one) for one in self.paths)


def strangers(own: Own, target: str, names: List) -> list[str]:
    """What lies in a store's place and is not its own, each by its topmost path inside the container.

    Args:
        target: Where the place is mounted.
    """
    found = []
    for name in sorted(names(target)):
        path = posixpath.join(target, name)
        if own.holds(path):
            continue
        found += strangers(own, path, names) if own.leads(path) else [path]
    return found


def rest_number(name: str) -> int:
    """Of which of a component's places, from 1, a plain file is such an archive; 0 when it is none."""
    match = re.fullmatch(rf"{REST}(?:-(\d+))?\.tar", posixpath.basename(name))
    return int(match[1] or 1) if match else 0


def named_secret(path: str) -> bool:
    """Whether a file's name says that it holds secrets: those of configuration, and lists of users."""
    return looks_secret(path) or path.endswith(".acl")


def tells_secret(text: str) -> bool:
    """Whether a file of settings sets anything that may be a secret."""
    return bool(SECRET_LINE.search(text))

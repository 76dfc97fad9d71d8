"""Who listens on a TCP port of this machine, read from /proc (proc_net_tcp(5))."""

from __future__ import annotations

import os
from itertools import takewhile
from pathlib import Path

_LISTEN = "0A"


def holder(port: int, proc: Path = Path("/proc")) -> str:
    """The process that listens on a port, `nginx (pid 812)`; empty when the port is free.

    A listener whose process we may not see is named `another user's process`.
    """
    inodes = _listening_inodes(port, proc)
    return process_of(inodes, proc) if inodes else ""


def process_of(inodes: set[str], proc: Path = Path("/proc")) -> str:
    """The process that holds one of some sockets, `nginx (pid 812)`, or `another user's process`."""
    for process in sorted(proc.glob("[0-9]*"), key=lambda entry: int(entry.name)):
        if _holds(process, inodes):
            return f"{_name(process)} (pid {process.name})"
    return "another user's process"


def _listening_inodes(port: int, proc: Path) -> set[str]:
    inodes: set[str] = set()
    for table in (proc / "net/tcp", proc / "net/tcp6"):
        if not table.exists():
            continue
        for line in table.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes


def _holds(process: Path, inodes: set[str]) -> bool:
    wanted = {f"socket:[{inode}]" for inode in inodes}
    try:
        return any(os.readlink(entry) in wanted for entry in (process / "fd").iterdir())
    except OSError:  # gone meanwhile, or another user's
        return False


def _name(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").split()
        plain = takewhile(lambda word: word[0] != "-" and not set(word) & set("=@:"), words[1:3])
        return " ".join([Path(words[0]).name, *plain])  # what follows may hold a password
    except (OSError, IndexError):
        return "a process"

"""Whom a process talks to, as the kernel knows it (proc_pid_net(5), proc_pid_fd(5))."""

from __future__ import annotations

import ipaddress
import os
import struct
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path

TABLES = ("tcp", "tcp6", "udp", "udp6")


def peers(pids: Iterable[int]) -> set[str]:
    """Addresses that processes and their children are connected to now, datagram sockets included."""
    inodes = {inode for pid in pids for process in (pid, *_children(pid)) for inode in _sockets(process)}
    found = {address for table in TABLES for inode, address in _rows(table) if inode in inodes}
    return {address for address in found if not ipaddress.ip_address(address).is_unspecified}


def of_this_machine(address: str) -> bool:
    """Whether an address is the machine's own, or lies on one of its bridges: a container's that we probe."""
    found = ipaddress.ip_address(address)
    return found.is_loopback or any(found in network for network in _networks())


def _networks() -> list[ipaddress.IPv4Network]:
    """What the engine's bridges serve, as Docker tells it."""
    named = ["docker", "network", "ls", "--quiet", "--filter", "driver=bridge"]
    ids = subprocess.run(named, capture_output=True, text=True, check=True).stdout.split()
    shown = ["docker", "network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}", *ids]
    subnets = subprocess.run(shown, capture_output=True, text=True, check=True).stdout.split()
    return [ipaddress.IPv4Network(subnet) for subnet in subnets if ":" not in subnet]


class Watch:
    """Looks again and again whom some processes talk to, until it is left."""

    def __init__(self, pids: Iterable[int]) -> None:
        self.pids = tuple(pids)
        self.seen: set[str] = set()
        self.looks = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(0.5):
            self.seen |= peers(self.pids)
            self.looks += 1


def _sockets(pid: int) -> set[str]:
    inodes = set()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(entry)
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        return set()
    return inodes


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for listing in Path(f"/proc/{pid}/task").glob("*/children"):
            for word in listing.read_text().split():
                found.append(int(word))
    except OSError:
        return found
    return found


def _rows(table: str) -> list[tuple[str, str]]:
    cells = [line.split() for line in Path("/proc/net", table).read_text().splitlines()[1:]]
    return [(cell[9], _address(cell[2].partition(":")[0])) for cell in cells]


def _address(text: str) -> str:
    words = [text[i : i + 8] for i in range(0, len(text), 8)]
    raw = b"".join(struct.pack("=I", int(word, 16)) for word in words)
    address = ipaddress.ip_address(raw)
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)

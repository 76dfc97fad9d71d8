"""Listening sockets and routes of this machine, read from /proc (proc_net_tcp(5), proc_net_route)."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from pathlib import Path

from blocks.ports import process_of
from compose.stack.preflight.host import Listener, Route

PROC = Path("/proc")
_LISTEN, _UDP_BOUND = "0A", "07"
_TABLES = {
    "tcp": ("tcp", _LISTEN),
    "tcp6": ("tcp", _LISTEN),
    "udp": ("udp", _UDP_BOUND),
    "udp6": ("udp", _UDP_BOUND),
}
_DOCKERS = ("docker", "br-", "veth")


def listeners(
    ports: Collection[int], nameless: Collection[tuple[str, int]] = (), proc: Path = PROC
) -> tuple[Listener, ...]:
    """Who listens on some ports, with the process's name.

    Args:
        ports: The ports that matter.
        nameless: Protocol and port of those whose holder is known otherwise; looking for a process takes time.
        proc: Where the kernel shows its tables.
    """
    found: list[Listener] = []
    for table, (protocol, state) in _TABLES.items():
        for address, port, inode in _bound(proc / "net" / table, state):
            if port in ports:
                name = "" if (protocol, port) in nameless else process_of({inode}, proc)
                found.append(Listener(protocol, address, port, name))
    return tuple(found)


def _bound(table: Path, state: str) -> Iterator[tuple[str, int, str]]:
    try:
        lines = table.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return
    for line in lines:
        fields = line.split()
        if len(fields) > 9 and fields[3] == state:
            address, _, port = fields[1].partition(":")
            yield _address(address), int(port, 16), fields[9]


def _address(text: str) -> str:
    """An address as the kernel prints it: words of 32 bits in the machine's own byte order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def routes(proc: Path = PROC) -> tuple[Route, ...]:
    """IPv4 routes that no Docker network made; the default route is none."""
    try:
        lines = (proc / "net/route").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return ()
    found = []
    for line in lines:
        fields = line.split()
        if len(fields) > 7 and int(fields[7], 16) and not fields[0].startswith(_DOCKERS):
            subnet = f"{_address(fields[1])}/{_address(fields[7])}"
            found.append(Route(str(ipaddress.ip_network(subnet, strict=False)), fields[0]))
    return tuple(found)


def has_way(address: str, proc: Path = PROC) -> bool:
    """Whether a route of this machine leads to an address: its own networks, or what somebody routed on purpose.

    The default route does not count: what answers behind it, such as a proxy that takes every connection, is not
    the container of this address. True where the kernel shows no routes.
    """
    wanted = ipaddress.ip_address(address)
    if wanted.is_loopback:
        return True
    table = proc / ("net/route" if wanted.version == 4 else "net/ipv6_route")
    try:
        lines = table.read_text(encoding="ascii").splitlines()
    except OSError:
        return True
    return any(wanted in subnet for subnet in map(_subnet, lines) if subnet is not None and subnet.prefixlen)


def _subnet(line: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Where a line of the kernel's tables leads; None for its head."""
    fields = line.split()
    if len(fields) > 7 and len(fields[1]) == 8 and fields[0] != "Iface":
        return ipaddress.IPv4Network(f"{_address(fields[1])}/{_address(fields[7])}", strict=False)
    if len(fields) > 8 and len(fields[0]) == 32:
        return ipaddress.IPv6Network((bytes.fromhex(fields[0]), int(fields[1], 16)), strict=False)
    return None

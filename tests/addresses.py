"""Ports and subnets that nobody has."""

from __future__ import annotations

import random
import socket
import subprocess
from functools import cache
from ipaddress import IPv4Network, ip_network

from tests.engine_state import docker

_PORTS = range(25000, 32000)
"""Above those that the test projects write, below those that Linux gives to outgoing connections meanwhile."""
_SUBNETS = IPv4Network("10.215.0.0/16")
"""No test writes a subnet of this range itself."""
_HELD: list[socket.socket] = []
_GIVEN: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that are free now; no port is given twice."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            break
        if port in _GIVEN:
            continue
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        _GIVEN.add(port)
    return found


def free_port() -> int:
    """One of them."""
    return free_ports(1)[0]


def free_subnet() -> str:
    """A /24 that no network of the engine overlaps; held until this process ends, so that no other gets it."""
    taken = _taken()
    for subnet in _SUBNETS.subnets(new_prefix=24):
        if not any(subnet.overlaps(one) for one in taken) and _hold(str(subnet)):
            return str(subnet)
    raise AssertionError(f"no free subnet in {_SUBNETS}")


@cache
def subnet_of(name: str) -> str:
    """The free subnet that this process gave to a name."""
    return free_subnet()


def _hold(subnet: str) -> bool:
    """Whether the subnet is ours: an abstract socket's name belongs to one process, and ends with it."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.bind(f"\0ops-test-subnet-{subnet}")
    except OSError:
        one.close()
        return False
    _HELD.append(one)
    return True


def _taken() -> list[IPv4Network]:
    """Every IPv4 subnet of the engine's networks."""
    ids = docker("network", "ls", "-q").split()
    form = "{{range .IPAM.Config}}{{.Subnet}} {{end}}"
    said = subprocess.run(
        ["docker", "network", "inspect", "--format", form, *ids], capture_output=True, text=True, check=False
    ).stdout  # one that vanished meanwhile is an error of the command, and the others are told
    return [one for one in map(ip_network, said.split()) if isinstance(one, IPv4Network)]

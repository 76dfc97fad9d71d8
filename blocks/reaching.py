"""Where a container's port is reached from here."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from blocks.sockets import has_way
from compose.stack.observed import Container

CONNECT = 1.0
CLOSED = 9
"""Nobody listens on the discard port: a host that the network reaches refuses it at once."""


@dataclass(frozen=True)
class Place:
    """A host and a port.

    Args:
        error: Why no connection came about; None when one did.
        host_answers: The network reaches the host, whatever becomes of the port: one where nobody listens refuses,
            one whose process hangs does not even do that once its queue is full.
    """

    host: str
    port: int
    error: OSError | None = None
    host_answers: bool = True

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def refused(self) -> bool:
        """Nobody listens."""
        return isinstance(self.error, ConnectionRefusedError)


def reach(container: Container, port: int, *, published: bool = False) -> Place | None:
    """The first of a container's addresses at which a port accepts a connection; else why none does.

    Args:
        published: Where no address is reachable at all, try where the port is published on this machine: an
            engine in a virtual machine or without root keeps its containers' network to itself.

    Returns:
        None for a container without an address.
    """
    tried: list[Place] = []
    for address in container.every_address:
        tried.append(_connect(address, port))
        if tried[-1].error is None:
            return tried[-1]
    there = sorted((place for place in tried if place.host_answers), key=lambda place: not place.refused)
    if not there and published and port in container.published:
        outside = _connect(*container.published[port])
        if outside.error is None:
            return outside
    return next(iter([*there, *tried]), None)


def _connect(host: str, port: int) -> Place:
    if not has_way(host):
        return Place(host, port, OSError(errno.EHOSTUNREACH, "no route leads there from here"), host_answers=False)
    error = _try(host, port)
    if error is None or isinstance(error, ConnectionRefusedError):
        return Place(host, port, error)
    other = _try(host, CLOSED)
    return Place(host, port, error, host_answers=other is None or isinstance(other, ConnectionRefusedError))


def _try(host: str, port: int) -> OSError | None:
    try:
        socket.create_connection((host, port), timeout=CONNECT).close()
    except OSError as error:
        return error
    return None

"""Where a container's port is reached from here."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from compose.stack.observed import Container

CONNECT = 1.0


@dataclass(frozen=True)
class Place:
    """A host and a port, and why nobody answered there, if so."""

    host: str
    port: int
    error: OSError | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def refused(self) -> bool:
        """The network reaches it, and nobody listens."""
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
    refused = next((place for place in tried if place.refused), None)
    if refused is None and published and port in container.published:
        outside = _connect(*container.published[port])
        if outside.error is None:
            return outside
    return refused or next(iter(tried), None)


def _connect(host: str, port: int) -> Place:
    try:
        socket.create_connection((host, port), timeout=CONNECT).close()
    except OSError as error:
        return Place(host, port, error)
    return Place(host, port)

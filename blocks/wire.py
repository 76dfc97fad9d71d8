"""The engine's hijacked connection to a process: input one way, output and errors in frames the other way."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

HEADER = 8
PORTION = 256 * 1024
KEPT = 16 * 1024
OUTPUT, ERRORS = 1, 2


class Wire:
    """Reads frames (8 bytes of header: stream, then length in the last four) and keeps the errors apart.

    Args:
        connection: What the docker SDK gives for `socket=True`.
        idle: Seconds of silence after which reading gives up.
    """

    def __init__(self, connection: Any, idle: float) -> None:
        self._owner = connection
        self._socket = getattr(connection, "_sock", connection)
        self._header = bytearray()
        self._left = self._kind = 0
        self._first, self._tail = b"", b""
        self._waiting: list[bytes] = []
        with suppress(AttributeError, OSError):
            self._socket.settimeout(idle)

    @property
    def errors(self) -> str:
        """The first line and the last 16 KiB of standard error."""
        whole = self._tail if self._tail.startswith(self._first) else self._first + b"\n" + self._tail
        return whole.decode(errors="replace")

    def read(self) -> bytes:
        """The next bytes of standard output; empty at the end.

        Raises:
            OSError: The connection broke or was silent for too long.
        """
        if self._waiting:
            return self._waiting.pop(0)
        while data := self._socket.recv(PORTION):
            parts = self._unframe(memoryview(data))
            if parts:
                return bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        return b""

    def greet(self) -> None:
        """Wait for the first line of standard error, or the end; output that comes before is kept."""
        while b"\n" not in self._tail and (data := self._socket.recv(PORTION)):
            self._waiting += [bytes(part) for part in self._unframe(memoryview(data))]

    def _unframe(self, data: memoryview) -> list[memoryview]:
        found: list[memoryview] = []
        position, end = 0, len(data)
        while position < end:
            if not self._left:
                take = min(HEADER - len(self._header), end - position)
                self._header += data[position : position + take]
                position += take
                if len(self._header) == HEADER:
                    self._kind, self._left = self._header[0], int.from_bytes(self._header[4:], "big")
                    self._header.clear()
                continue
            take = min(self._left, end - position)
            piece = data[position : position + take]
            if self._kind == OUTPUT:
                found.append(piece)
            else:
                self._keep(bytes(piece))
            position += take
            self._left -= take
        return found

    def _keep(self, piece: bytes) -> None:
        self._first = self._first or piece.split(b"\n")[0][:200]
        self._tail = (self._tail + piece)[-KEPT:]

    def drain(self) -> None:
        """Read to the end and throw standard output away."""
        while self.read():
            pass

    def send(self, data: bytes | memoryview) -> None:
        """Write to standard input."""
        self._socket.sendall(data)

    def end(self) -> None:
        """No more input; output can still be read."""
        with suppress(OSError, AttributeError):
            half = getattr(self._socket, "shutdown_write", None)
            half() if half else self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let the connection go."""
        for one in (self._owner, self._socket):
            with suppress(OSError, AttributeError):
                one.close()

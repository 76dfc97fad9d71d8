"""Commands inside a container whose output or input is a stream; none outlives its reader.

Killing the client of an exec leaves the command alive. So it runs below a small shell that waits for a word on
its standard input before it begins (what is printed before the connection has changed hands would be lost), and
that kills the command when its input ends: also when we are killed ourselves.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import docker.errors

from blocks.engine import UNREACHABLE, Engine, talking
from blocks.polling import poll
from blocks.wire import Wire
from compose.stack.errors import Failed

log = logging.getLogger("ops.exec")
WATCHED = """exec 3<&0
read -r _ <&3 || exit 125
"$@" </dev/null 3<&- &
child=$!
echo "ops-exec $child" >&2
{ trap 'exit 0' TERM; read -r _ <&3; kill "$child"; exit 0; } >/dev/null 2>&1 &
watcher=$!
wait "$child"
code=$?
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
exit "$code"
"""
"""For a command whose output is read: it is ended at the end of the shell's input.

Everything is waited for: what is left would become a child of the container's first process, and a PostgreSQL
server that is one takes an unknown child's end by a signal for a crash of its own and restarts all sessions.
"""

FED = """read -r _ || exit 125
echo "ops-exec $$" >&2
exec "$@"
"""
"""For a command that is fed: the end of its input is the end of what it works on."""

IDLE = 900.0
PATIENCE = 10.0


class Running:
    """One command while it runs.

    Args:
        wire: Its standard streams.
        identity: The exec's id.
        what: Name of the command, for errors.
    """

    def __init__(self, engine: Engine, container: str, identity: str, wire: Wire, what: str) -> None:
        self._engine, self._container, self._id = engine, container, identity
        self.wire, self.what = wire, what

    def __iter__(self) -> Iterator[bytes]:
        """Its standard output, to the end.

        Raises:
            Failed: It says nothing for too long, or the engine went away.
        """
        while data := self.read():
            yield data

    def read(self) -> bytes:
        """The next bytes of its standard output; empty at the end."""
        try:
            return self.wire.read()
        except OSError as error:
            raise Failed(f"{self.what}: its output broke off: {error or type(error).__name__}") from None

    def greet(self) -> None:
        """Let it begin, and learn its process number.

        Raises:
            Failed: The engine went away.
        """
        self.send(b"go\n")
        try:
            self.wire.greet()
        except OSError as error:
            raise Failed(f"{self.what} did not begin: {error or type(error).__name__}") from None

    def send(self, data: bytes | memoryview) -> None:
        """Give it input.

        Raises:
            Failed: It takes no more; what it said is the reason.
        """
        try:
            self.wire.send(data)
        except OSError:
            with suppress(OSError):
                self.wire.drain()
            raise Failed(f"{self.what} took no more input: {self.said or 'it said nothing'}") from None

    def end_input(self) -> None:
        """It gets no more input."""
        self.wire.end()

    @property
    def said(self) -> str:
        """The last of what it printed on standard error."""
        lines = [line for line in self.wire.errors.splitlines() if not line.startswith("ops-exec ")]
        return " | ".join(line.strip() for line in lines if line.strip())[-2000:]

    def code(self) -> int:
        """Its true exit code, after the end of its output.

        Raises:
            Failed: It does not end.
        """
        if not poll(lambda: not self._inspect()["Running"], PATIENCE, 0.02):
            raise Failed(f"{self.what} closed its output and does not end")
        found = self._inspect()["ExitCode"]
        return 127 if found is None else int(found)

    def done(self) -> str:
        """Wait for a good end; what it said on standard error.

        Raises:
            Failed: It ended with another code than 0.
        """
        code = self.code()
        if code:
            raise Failed(f"{self.what} ended with code {code}: {self.said or 'it said nothing'}")
        return self.said

    def kill(self) -> None:
        """End it if it still runs, in the container, and wait until it is gone; never raises."""
        self.wire.end()
        self.wire.close()
        try:
            if not poll(lambda: not self._inspect()["Running"], PATIENCE / 2, 0.02):
                self._kill_by_number()
                poll(lambda: not self._inspect()["Running"], PATIENCE / 2, 0.05)
        except (docker.errors.APIError, *UNREACHABLE, Failed) as error:
            log.debug("%s: %s", self.what, error)

    def _kill_by_number(self) -> None:
        number = next((w.split()[1] for w in self.wire.errors.splitlines() if w.startswith("ops-exec ")), "")
        if number.isdigit():
            self._engine.run_in(self._container, ("sh", "-c", 'kill -KILL "$1"', "sh", number), PATIENCE)

    def _inspect(self) -> Mapping[str, Any]:
        return dict(self._engine.client.api.exec_inspect(self._id))


@contextmanager
def reading(
    engine: Engine,
    container: str,
    argv: tuple[str, ...],
    *,
    environment: Mapping[str, str] | None = None,
    idle: float = IDLE,
) -> Iterator[Running]:
    """Run a command whose output is read; it is ended in the container when the block is left before its end.

    Args:
        environment: Variables on top of the container's own; secrets go here, never into the arguments.
        idle: Seconds of silence after which it counts as hung.

    Raises:
        Failed: The container does not run, or has no shell.
    """
    with _begun(engine, container, WATCHED, argv, environment or {}, idle) as running:
        yield running


@contextmanager
def feeding(
    engine: Engine,
    container: str,
    argv: tuple[str, ...],
    *,
    environment: Mapping[str, str] | None = None,
    idle: float = IDLE,
) -> Iterator[Running]:
    """Run a command that is given input, and whose output may be read too; see `reading`."""
    with _begun(engine, container, FED, argv, environment or {}, idle) as running:
        yield running


@contextmanager
def _begun(
    engine: Engine,
    container: str,
    script: str,
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    idle: float,
) -> Iterator[Running]:
    api = engine.client.api
    with talking():
        words = ["sh", "-c", script, "sh", *argv]
        made = api.exec_create(container, words, stdin=True, environment=dict(environment) or None)
        connection = api.exec_start(made["Id"], socket=True)
    running = Running(engine, container, made["Id"], Wire(connection, idle), argv[0])
    try:
        running.greet()
        yield running
    finally:
        running.kill()

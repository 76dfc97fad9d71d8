"""The door to Prometheus: snapshots of its database by its administrative interface."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from blocks.engine import Engine, talking
from blocks.stores.containers import QUICK, Asked, ask_container
from blocks.stores.http_store import HttpStore, base_of
from compose.stack.errors import Failed

PORT = 9090
DEFAULT_DATA = "/prometheus"
PORTION = 2 * 1024 * 1024
NAME = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]+", re.ASCII)


@dataclass(frozen=True)
class Prometheus:
    """One server.

    Args:
        data: Its database's directory inside the container.
    """

    store: HttpStore
    data: str

    def version(self) -> str:
        """Its version."""
        return str(self.store.ask("GET", "/api/v1/status/buildinfo")["data"].get("version") or "")

    def series(self) -> int:
        """How many series its head block has now."""
        return int(self.store.ask("GET", "/api/v1/status/tsdb")["data"]["headStats"]["numSeries"])

    def snapshot(self) -> str:
        """Make a snapshot, the head block included; its name.

        Raises:
            Failed: It could not, or the interface is off.
        """
        answer = self.store.ask("POST", "/api/v1/admin/tsdb/snapshot")
        name = str((answer.get("data") or {}).get("name") or "")
        if not NAME.fullmatch(name):
            raise Failed(f"a snapshot is called {name!r}", where=self.store.asked.container.name)
        return name

    @contextmanager
    def fetch(self, name: str) -> Iterator[Iterator[bytes]]:
        """A snapshot as a tar stream; its paths begin in the snapshot, and extract into a data directory."""
        api = self.store.asked.engine.client.api
        with talking():
            chunks, _ = api.get_archive(self.store.asked.id, f"{self.place(name)}/.", chunk_size=PORTION)
        try:
            yield chunks
        finally:
            chunks.close()

    def delete(self, name: str) -> None:
        """Remove a snapshot: no interface does that.

        Raises:
            Failed: It is still there.
        """
        if not NAME.fullmatch(name):
            raise Failed(f"{name!r} is no snapshot's name", where=self.store.asked.container.name)
        asked = self.store.asked
        code, said = asked.engine.run_in(asked.id, ("rm", "-rf", "--", self.place(name)), QUICK * 6)
        if code:
            raise Failed(f"its snapshot stays: {said.strip()[:160]}", where=asked.container.name)

    def place(self, name: str) -> str:
        """A snapshot's directory inside the container."""
        return posixpath.join(self.data, "snapshots", name)


def prometheus(engine: Engine, container: str, options: Mapping[str, object] | None = None) -> Prometheus:
    """The server of a container.

    Args:
        options: `port`, where it is not 9090.

    Raises:
        Failed: It does not run, or has no address.
    """
    asked = ask_container(engine, container)
    port = int(str((options or {}).get("port") or _listens(asked.command)))
    prefix = option(asked.command, "--web.route-prefix") or ""
    return Prometheus(HttpStore(asked, base_of(asked, port, prefix if prefix != "/" else "")), _data(asked))


def option(command: Sequence[str], name: str) -> str | None:
    """The value of a flag of its command line."""
    for index, word in enumerate(command):
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
        if word == name and index + 1 < len(command):
            return command[index + 1]
    return None


def _listens(command: Sequence[str]) -> int:
    port = (option(command, "--web.listen-address") or "").rpartition(":")[2]
    return int(port) if port.isdigit() else PORT


def _data(asked: Asked) -> str:
    return posixpath.join("/", option(asked.command, "--storage.tsdb.path") or DEFAULT_DATA)

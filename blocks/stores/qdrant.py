"""The door to Qdrant: collections, aliases, and snapshots that are made, fetched and deleted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from blocks.engine import Engine
from blocks.stores.containers import ask_container
from blocks.stores.http_store import HttpStore, base_of
from compose.stack.errors import Failed

PORT = 6333
STORAGE = "/qdrant/storage"
KEY = "QDRANT__SERVICE__API_KEY"
NAME = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


@dataclass(frozen=True)
class Snapshot:
    """One snapshot on the server.

    Args:
        checksum: SHA-256 in hexadecimal; empty where the server tells none.
        size: Bytes.
    """

    collection: str
    name: str
    size: int
    checksum: str


@dataclass(frozen=True)
class Qdrant:
    """One server."""

    store: HttpStore

    def version(self) -> str:
        """Its version."""
        return str(self.store.ask("GET", "/").get("version") or "")

    def collections(self) -> list[str]:
        """The names of all collections."""
        return sorted(str(one["name"]) for one in self._result("GET", "/collections")["collections"])

    def aliases(self) -> list[dict[str, str]]:
        """All aliases: snapshots leave them out."""
        found = self._result("GET", "/aliases")["aliases"]
        return sorted(({str(k): str(v) for k, v in one.items()} for one in found), key=lambda a: a["alias_name"])

    def count(self, collection: str) -> int:
        """How many points a collection has now."""
        return int(self._result("POST", f"{_path(collection)}/points/count", {"exact": True})["count"])

    def snapshots(self, collection: str) -> list[str]:
        """The names of a collection's snapshots on the server."""
        return [str(one["name"]) for one in self._result("GET", f"{_path(collection)}/snapshots")]

    def snapshot(self, collection: str) -> Snapshot:
        """Make a snapshot of a collection.

        Raises:
            Failed: It could not, or its name is none that we would put into a path.
        """
        made = self._result("POST", f"{_path(collection)}/snapshots?wait=true")
        name = str(made["name"])
        if not NAME.fullmatch(name):
            raise Failed(f"a snapshot is called {name!r}", where=self.store.asked.container.name)
        return Snapshot(collection, name, int(made.get("size") or 0), str(made.get("checksum") or ""))

    @contextmanager
    def fetch(self, snapshot: Snapshot) -> Iterator[Iterator[bytes]]:
        """A snapshot's bytes, compared with what the server told of them.

        Raises:
            Failed: They differ, or break off.
        """
        with self.store.stream(f"{_path(snapshot.collection)}/snapshots/{snapshot.name}") as chunks:
            yield self._compared(snapshot, chunks)

    def _compared(self, snapshot: Snapshot, chunks: Iterator[bytes]) -> Iterator[bytes]:
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            yield chunk
        told = f"snapshot {snapshot.name} of {snapshot.collection}"
        if snapshot.size and size != snapshot.size:
            raise Failed(
                f"{told} has {size} bytes instead of {snapshot.size}", where=self.store.asked.container.name
            )
        if snapshot.checksum and digest.hexdigest() != snapshot.checksum.lower():
            raise Failed(f"{told} differs from its checksum", where=self.store.asked.container.name)

    def delete(self, snapshot: Snapshot) -> None:
        """Delete a snapshot on the server."""
        self._result("DELETE", f"{_path(snapshot.collection)}/snapshots/{snapshot.name}?wait=true")

    def _result(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.store.ask(method, path, body)
        if not isinstance(answer, dict) or "result" not in answer:
            raise Failed(f"{method} {path.partition('?')[0]} answered without a result", where="Qdrant")
        return answer["result"]


def qdrant(engine: Engine, container: str, options: Mapping[str, object] | None = None) -> Qdrant:
    """The server of a container.

    Args:
        options: `port`, where its environment does not tell it.

    Raises:
        Failed: It does not run, or has no address.
    """
    asked = ask_container(engine, container)
    told = (options or {}).get("port") or asked.environment.get("QDRANT__SERVICE__HTTP_PORT")
    key = asked.value(KEY)
    headers = {"api-key": key} if key else {}
    return Qdrant(HttpStore(asked, base_of(asked, int(str(told or PORT))), headers))


def _path(collection: str) -> str:
    return f"/collections/{quote(collection, safe='')}"

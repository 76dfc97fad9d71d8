"""A simulator of Qdrant's HTTP interface (collections, points, aliases, snapshots), standard library only.

It searches nothing and knows no gRPC. Its snapshots are tar files of its own, which no Qdrant reads.
Everything is in the storage folder, written before a request is answered.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.simulators.qdrant_storage import Storage, Wrong

VERSION = "1.15.5"
TITLE = "qdrant simulator, for tests only"


Route = tuple[str, re.Pattern[str], Callable[..., Any]]


def scroll(storage: Storage, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """One page of points, and where the next one starts."""
    points, start, limit = storage.points(name), body.get("offset"), int(body.get("limit") or 10)
    first = next((i for i, point in enumerate(points) if point["id"] == start), 0) if start is not None else 0
    page, rest = points[first : first + limit], points[first + limit :]
    hidden = {key for key, flag in (("payload", "with_payload"), ("vector", "with_vector")) if not body.get(flag)}
    shown = [{key: value for key, value in point.items() if key not in hidden} for point in page]
    return {"points": shown, "next_page_offset": rest[0]["id"] if rest else None}


def described(storage: Storage, name: str) -> dict[str, Any]:
    """What is told of a collection."""
    count = len(storage.points(name))
    facts = {"points_count": count, "indexed_vectors_count": 0, "segments_count": 1, "payload_schema": {}}
    return {"status": "green", "optimizer_status": "ok", **facts, "config": {"params": storage.config(name)}}


def routes(storage: Storage) -> list[Route]:
    """Every route: method, path, and what is done with the path's words, the query and the body."""
    name, file = r"(?P<name>[^/]+)", r"(?P<file>[\w.-]+)"
    s = storage
    table: list[tuple[str, str, Callable[..., Any]]] = [
        ("GET", "/collections", lambda q, b: {"collections": [{"name": one} for one in s.names()]}),
        ("GET", "/aliases", lambda q, b: {"aliases": [
            {"alias_name": alias, "collection_name": to} for alias, to in sorted(s.aliases().items())]}),
        ("POST", "/collections/aliases", lambda q, b: s.change_aliases(b["actions"])),
        ("PUT", f"/collections/{name}", lambda q, b, name: s.create(name, b)),
        ("GET", f"/collections/{name}", lambda q, b, name: described(s, name)),
        ("DELETE", f"/collections/{name}", lambda q, b, name: s.remove(name)),
        ("PUT", f"/collections/{name}/points", lambda q, b, name: s.upsert(name, b["points"])),
        ("POST", f"/collections/{name}/points/count", lambda q, b, name: {"count": len(s.points(name))}),
        ("POST", f"/collections/{name}/points/scroll", lambda q, b, name: scroll(s, name, b)),
        ("POST", f"/collections/{name}/snapshots", lambda q, b, name: s.snapshot(name)),
        ("GET", f"/collections/{name}/snapshots", lambda q, b, name: [
            s.described(path) for path in sorted((s.snapshots / s.place(name).name).glob("*.snapshot"))]),
        ("POST", f"/collections/{name}/snapshots/upload",
            lambda q, b, name: s.recover(name, b, q.get("checksum", ""))),
        ("GET", f"/collections/{name}/snapshots/{file}",
            lambda q, b, name, file: s.saved(name, file).read_bytes()),
        ("DELETE", f"/collections/{name}/snapshots/{file}",
            lambda q, b, name, file: s.saved(name, file).unlink() is None),
    ]  # fmt: skip
    return [(method, re.compile(path), act) for method, path, act in table]


class Handler(BaseHTTPRequestHandler):
    """Answers as Qdrant does: `{"result": …, "status": "ok", "time": …}`."""

    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        """Find the route of a request and answer."""
        parts = urlsplit(self.path)
        content = self._content()
        if parts.path == "/":
            return self._send(200, json.dumps({"title": TITLE, "version": VERSION}).encode())
        if parts.path in ("/readyz", "/healthz", "/livez"):
            return self._send(200, b"all shards are ready", "text/plain")
        try:
            result = self._act(parts.path, {key: v[0] for key, v in parse_qs(parts.query).items()}, content)
        except Wrong as error:
            return self._send(error.status, _refusal(str(error)))
        except (KeyError, TypeError, ValueError) as error:
            return self._send(
                400, json.dumps({"status": {"error": f"Format error: {error}"}, "time": 0.0}).encode()
            )
        if isinstance(result, bytes):
            return self._send(200, result, "application/octet-stream")
        return self._send(200, json.dumps({"result": result, "status": "ok", "time": 0.0}).encode())

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing of each request."""

    def _act(self, path: str, query: dict[str, str], content: bytes) -> Any:
        for method, pattern, act in self.server.routes:
            match = pattern.fullmatch(path)
            if match and method == self.command:
                upload = path.endswith("/snapshots/upload")
                body = self._part(content) if upload else json.loads(content or b"{}")
                with self.server.storage.lock:
                    return act(query, body, **match.groupdict())
        raise Wrong(404, "Not found")

    def _content(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _part(self, content: bytes) -> bytes:
        """The form's field `snapshot`."""
        boundary = re.search(r'boundary="?([^";]+)', self.headers.get("Content-Type", ""))
        if boundary:
            for part in content.split(b"--" + boundary[1].encode()):
                head, _, body = part.partition(b"\r\n\r\n")
                if b'name="snapshot"' in head:
                    return body.removesuffix(b"\r\n")
        raise Wrong(400, "Wrong input: no form field `snapshot`")

    def _send(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _refusal(what: str) -> bytes:
    return json.dumps({"status": {"error": what}, "time": 0.0}).encode()


class Server(ThreadingHTTPServer):
    """The simulator; port 0 takes a free one."""

    daemon_threads = True

    def __init__(self, port: int, storage: Path, snapshots: Path, host: str = "127.0.0.1") -> None:
        super().__init__((host, port), Handler)
        self.storage = Storage(storage, snapshots)
        self.routes = routes(self.storage)


def main() -> int:
    """Serve until SIGTERM, in the folders and at the port that Qdrant's own variables name."""
    storage = Path(os.environ.get("QDRANT__STORAGE__STORAGE_PATH", "/qdrant/storage"))
    snapshots = Path(os.environ.get("QDRANT__STORAGE__SNAPSHOTS_PATH", "/qdrant/snapshots"))
    server = Server(int(os.environ.get("QDRANT__SERVICE__HTTP_PORT", "6333")), storage, snapshots, "0.0.0.0")
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(TITLE, VERSION, flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())

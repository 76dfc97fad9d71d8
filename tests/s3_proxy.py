"""A proxy before an S3 server that writes every call down, and breaks those that a test wants broken."""

from __future__ import annotations

import base64
import hashlib
import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from tests.prefect_lab import until

FORWARD, CUT, LOSE, RESET = "forward", "cut", "lose", "reset"
"""Pass on; cut the answer's body; pass on but lose the answer; close at once."""
DENY, BREAK, CANNOT = "deny", "break", "cannot"
"""Answer 403, 500, 501."""
ERRORS = {DENY: (403, "AccessDenied"), BREAK: (500, "InternalError"), CANNOT: (501, "NotImplemented")}


@dataclass(frozen=True)
class Call:
    """One request as it arrived.

    Args:
        operation: S3's name for it; empty for anything that S3 does not know.
        key: Object key, without the bucket.
        seal: Whether it has a Content-MD5 that fits its body; None without body.
    """

    operation: str
    key: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    bytes: int
    seal: bool | None

    @property
    def part(self) -> int:
        """Number of the part, or 0."""
        return int(self.query.get("partNumber", ["0"])[0])


@dataclass
class Proxy:
    """A proxy that runs.

    Args:
        fault: Decides for each call what happens to it.
        pause: Seconds before each call is passed on.
        busy: Threads that have a call in hand.
    """

    port: int
    calls: list[Call] = field(default_factory=list)
    fault: Callable[[Call], str] = lambda _: FORWARD
    pause: float = 0.0
    busy: set[int] = field(default_factory=set)

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def operations(self, name: str = "") -> list[Call]:
        """The calls so far; all, or one operation's."""
        return [call for call in list(self.calls) if not name or call.operation == name]


def operation_of(method: str, path: str, query: dict[str, list[str]], headers: dict[str, str]) -> str:
    """What S3 calls a request."""
    _, _, key = path.lstrip("/").partition("/")
    if not key:
        if method == "GET" and "uploads" in query:
            return "ListMultipartUploads"
        return "ListObjectsV2" if method == "GET" and query.get("list-type") == ["2"] else ""
    if "uploads" in query:
        return "CreateMultipartUpload" if method == "POST" else ""
    if "uploadId" in query:
        names = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "GET": "ListParts"}
        return (names | {"DELETE": "AbortMultipartUpload"}).get(method, "")
    if "x-amz-copy-source" in headers:
        return "CopyObject"
    names = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
    return names.get(method, "") if set(query) <= {"x-id"} else ""


@contextmanager
def proxy_before(port: int) -> Iterator[Proxy]:
    """A proxy before a server of this machine.

    Args:
        port: The server's.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    proxy = Proxy(server.server_address[1])
    server.proxy, server.backend = proxy, port  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        until(lambda: not proxy.busy, 30, "every call has reached its end")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_any(self) -> None:
        proxy: Proxy = self.server.proxy  # type: ignore[attr-defined]
        proxy.busy.add(threading.get_ident())
        try:
            self._handle(proxy)
        finally:
            proxy.busy.discard(threading.get_ident())

    def _handle(self, proxy: Proxy) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if len(body) < length:  # the client gave up: a server would wait for the rest for ever
            self.close_connection = True
            return
        call = _call(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        proxy.calls.append(call)
        fault = proxy.fault(call)
        time.sleep(proxy.pause)
        if fault == RESET:
            self.close_connection = True
        elif fault in ERRORS:
            self._answer_error(fault)
        else:
            self._pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_any

    def _answer_error(self, fault: str) -> None:
        status, code = ERRORS[fault]
        text = f"<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _pass_on(self, body: bytes, fault: str) -> None:
        backend = http.client.HTTPConnection("127.0.0.1", self.server.backend, timeout=20)  # type: ignore[attr-defined]
        try:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("expect", "connection")}
            backend.request(self.command, self.path, body=body or None, headers=headers)
            answer = backend.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return
        finally:
            backend.close()
        if fault == LOSE:
            self.close_connection = True
            return
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if fault == CUT else data)
        self.close_connection = fault == CUT

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def _call(method: str, target: str, headers: dict[str, str], body: bytes) -> Call:
    url = urlsplit(target)
    query = parse_qs(url.query, keep_blank_values=True)
    seal = headers.get("content-md5")
    md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    key = unquote(url.path.lstrip("/").partition("/")[2])
    operation = operation_of(method, url.path, query, headers)
    return Call(operation, key, query, headers, len(body), (seal == md5) if body else None)

"""HTTP to a store's container, straight to its own address; credentials in headers only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from blocks.reaching import reach
from blocks.stores.containers import Asked
from compose.stack.errors import Failed

PORTION = 1024 * 1024
TIMES = httpx.Timeout(600.0, connect=5.0)


@dataclass(frozen=True)
class HttpStore:
    """One store.

    Args:
        base: Address with port and prefix.
        headers: For every request.
    """

    asked: Asked
    base: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request; the JSON of a good answer.

        Raises:
            Failed: No answer, or another one.
        """
        try:
            with self._client() as client:
                response = client.request(method, self.base + path, json=body)
        except httpx.HTTPError as error:
            raise self._failed(method, path, f"{type(error).__name__}: {error}") from None
        if not response.is_success:
            raise self._failed(method, path, f"answered {response.status_code}: {response.text[:160]}")
        try:
            return response.json()
        except ValueError:
            raise self._failed(method, path, "answered without JSON") from None

    @contextmanager
    def stream(self, path: str) -> Iterator[Iterator[bytes]]:
        """The bytes of a good answer to a GET.

        Raises:
            Failed: Another answer, or it breaks off.
        """
        try:
            with self._client() as client, client.stream("GET", self.base + path) as response:
                if not response.is_success:
                    raise self._failed("GET", path, f"answered {response.status_code}")
                yield response.iter_raw(PORTION)
        except httpx.HTTPError as error:
            raise self._failed("GET", path, f"{type(error).__name__}: {error}") from None

    def _client(self) -> httpx.Client:
        headers = {**self.headers, "accept-encoding": "identity"}
        return httpx.Client(headers=headers, timeout=TIMES, trust_env=False)

    def _failed(self, method: str, path: str, what: str) -> Failed:
        return Failed(f"{method} {path.partition('?')[0]}: {what}".rstrip(": "), where=self.asked.container.name)


def base_of(asked: Asked, port: int, prefix: str = "") -> str:
    """The address of a container's port: its own, else where the port is published on this machine.

    Raises:
        Failed: It has no address of its own, or none that is reachable from here.
    """
    place = reach(asked.container, port, published=True)
    if place is None or not place.host_answers:
        what = "it has no address of its own" if place is None else f"port {port} is not reachable from here"
        raise Failed(
            f"{what}, and its interface speaks HTTP only",
            where=asked.container.name,
            next="give it a network, or save its volume stopped: x-ops.backup.kind: volume",
        )
    return f"http://{place}{prefix.rstrip('/')}"

"""What round trips have in common: what they know, what they bring back, how they fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from blocks.credentials import Read, reader, secret
from blocks.probing import ExecInContainer, http
from blocks.reaching import Place, reach
from compose.stack.catalogue import Catalogue
from compose.stack.observed import Container, Observed
from compose.stack.service import Stack
from compose.stack.verdicts import Mark

CONNECT = 2.0
PREFIX = "ops-verify-"


class Broken(Exception):
    """The service does not do what it is for; the text says how."""


class NotProven(Exception):
    """It could not be tried; the text says why."""


@dataclass(frozen=True)
class Proof:
    """One thing that a round trip proved, or could not.

    Args:
        check: How it was asked.
        detail: What came back.
    """

    check: str
    detail: str
    mark: Mark = Mark.PASSED


@dataclass(frozen=True)
class Scene:
    """What a round trip may know of the rest of the stack.

    Args:
        seen: What we saw of each service before this round trip.
        run: Runs a command in a container.
    """

    stack: Stack
    observed: Observed
    catalogue: Catalogue
    run: ExecInContainer
    seen: Mapping[str, Mark] = field(default_factory=dict)

    def secret(self, container: Container, *keys: str) -> str | None:
        """A secret by the first of these variables that the container has, or the file that `KEY_FILE` names."""
        return secret(container, self.read(container), *keys)

    def read(self, container: Container) -> Read:
        """Reads files in a container."""
        return reader(container, self.run)


def place_of(container: Container, port: int) -> Place:
    """Where a container's port is reached from here.

    Raises:
        NotProven: Nowhere: it has no address (host network), or none that is reachable, and publishes no port.
    """
    place = reach(container, port, published=True)
    if place is None:
        raise NotProven("it has no address of its own")
    if not place.host_answers:
        raise NotProven(f"port {port} is not reachable from here ({place.error})")
    return place


def call(method: str, url: str, within: float, *, body: Any = None, token: str = "") -> httpx.Response:
    """One HTTP request; the token goes into the header only.

    Raises:
        Broken: No answer, or none in time.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = httpx.Timeout(within, connect=min(CONNECT, within))
    try:
        return http().request(method, url, json=body, headers=headers, timeout=timeout)
    except httpx.TimeoutException:
        raise Broken(f"{method} {httpx.URL(url).path}: no answer in {within:.0f} s") from None
    except httpx.HTTPError as error:
        raise Broken(f"{method} {httpx.URL(url).path}: {type(error).__name__}: {error}".rstrip(": ")) from None


def answered(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a good answer.

    Raises:
        NotProven: It asks for credentials that we do not have.
        Broken: Any other answer.
    """
    what = f"{response.request.method} {response.request.url.path} answered {response.status_code}"
    if response.status_code in (401, 403):
        raise NotProven(f"{what}: it asks for credentials that are not known here")
    if not response.is_success:
        raise Broken(f"{what}: {' '.join(response.text.split())[:160]}")
    try:
        said = response.json()
    except ValueError:
        raise Broken(f"{what} without JSON") from None
    return said if isinstance(said, dict) else {"": said}

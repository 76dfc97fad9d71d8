"""The model server."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx


class NoServer(Exception):
    """The model server does not answer."""


class Ollama:
    """What the initialiser asks of the model server."""

    def __init__(self, http: httpx.Client, url: str) -> None:
        self.http = http
        self.url = url

    def wait(self, within: float, clock: Callable[[], float] = time.monotonic) -> str:
        """Return the server's version as soon as it answers; raises NoServer after `within` seconds."""
        deadline = clock() + within
        while True:
            try:
                response = self.http.get(f"{self.url}/api/version", timeout=2)
                response.raise_for_status()
                return str(response.json()["version"])
            except (httpx.HTTPError, ValueError, KeyError) as error:
                if clock() > deadline:
                    raise NoServer(f"{self.url} does not answer within {within:g} s: {error}") from error
                time.sleep(0.2)

    def digests(self) -> dict[str, str]:
        """Return the digest of every model that is there, by name."""
        response = self.http.get(f"{self.url}/api/tags", timeout=30)
        response.raise_for_status()
        return {str(model["name"]): str(model["digest"]) for model in response.json().get("models") or ()}

    def pull(self, name: str, *, insecure: bool, patience: float) -> Iterator[dict[str, Any]]:
        """Yield the lines of a pull; a silence of `patience` seconds ends it with an error line of our own.

        Silence before anything was transferred means a library that swallows packets.
        """
        body = {"model": name, "insecure": insecure}
        timeout = httpx.Timeout(patience, connect=5)
        began = False
        try:
            with self.http.stream("POST", f"{self.url}/api/pull", json=body, timeout=timeout) as response:
                for line in response.iter_lines():
                    if line.strip():
                        update = json.loads(line)
                        began = began or "total" in update
                        yield update
        except httpx.ReadTimeout:
            silence = f"silence for {patience:g} s"
            yield {"error": f"the stream ended: {silence}" if began else f"no answer from the library: {silence}"}
        except httpx.HTTPError as error:
            yield {"error": f"the stream ended: {error}"}

    def generate(self, name: str) -> tuple[str, int]:
        """Return a short text of the model and its number of tokens."""
        body = {"model": name, "prompt": "Hello", "stream": False, "options": {"num_predict": 8}}
        response = self.http.post(f"{self.url}/api/generate", json=body, timeout=300)
        if not response.is_success:
            raise NoServer(f"generating answered {response.status_code}: {response.text[:200]}")
        answer = response.json()
        return str(answer.get("response") or ""), int(answer.get("eval_count") or 0)

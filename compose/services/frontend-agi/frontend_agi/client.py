"""Calls to the backend and the coordinator, with the token that never reaches the browser."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from frontend_agi.settings import Settings


class Unanswered(Exception):
    """A service did not answer as it should; the message is for the user."""


@dataclass(frozen=True)
class Client:
    """What the pages ask for."""

    settings: Settings
    http: httpx.Client = field(default_factory=lambda: httpx.Client(trust_env=False, timeout=10))

    def health(self) -> dict[str, Any]:
        """Return the backend's health report, which also comes with status 503."""
        return self._send("GET", f"{self.settings.backend_url}/health", accept=(200, 503))

    def chat(self, history: Sequence[dict[str, str]], message: str) -> dict[str, Any]:
        """Return the model's answer to a message."""
        body = {"message": message, "history": list(history)}
        return self._send("POST", f"{self.settings.backend_url}/chat", body, within=310)

    def submit(self, prompt: str) -> dict[str, Any]:
        """Queue a task; return it."""
        return self._send("POST", f"{self.settings.coordinator_url}/assign", {"prompt": prompt}, accept=(202,))

    def tasks(self, limit: int = 20) -> list[dict[str, Any]]:
        """Return the newest tasks first."""
        answer = self._send("GET", f"{self.settings.coordinator_url}/tasks?limit={limit}")
        return list(answer["tasks"])

    def _send(
        self,
        method: str,
        url: str,
        body: dict[str, Any] | None = None,
        *,
        within: float = 10,
        accept: Sequence[int] = (200,),
    ) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.settings.api_token}"}
        host = httpx.URL(url).host
        try:
            timeout = httpx.Timeout(within, connect=3)
            response = self.http.request(method, url, json=body, headers=headers, timeout=timeout)
            answer = response.json()
        except httpx.TimeoutException as error:
            raise Unanswered(f"{host} gave no answer within {within:g} s") from error
        except httpx.HTTPError as error:
            raise Unanswered(f"{host} does not answer: {error}") from error
        except ValueError as error:
            raise Unanswered(f"{host} answered {response.status_code} with something else than JSON") from error
        if response.status_code not in accept:
            raise Unanswered(f"{host} answered {response.status_code}: {answer.get('detail', answer)}")
        return dict(answer)

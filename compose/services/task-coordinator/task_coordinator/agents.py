"""Who does the work: the model server, or an agent that registered an address."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from task_coordinator.records import MODEL_AGENT, Answer, Claim


class NotReachable(Exception):
    """The one who should do the work does not answer; the task waits, the attempt is not counted."""


class Faulty(Exception):
    """The attempt went wrong in a way that may pass."""


class Refused(Exception):
    """The task cannot succeed as it is."""


def choose_model(preference: Sequence[str], available: Sequence[str]) -> str | None:
    """Return the first preferred model that is available; a name without a tag means `latest`."""
    for name in preference:
        full = name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"
        if full in available:
            return full
    return None


def is_demonstration(name: str, show: Mapping[str, Any]) -> bool:
    """Tell from its name or its own metadata (/api/show) whether a model is the demonstration model."""
    info = show.get("model_info") or {}
    said = (name, info.get("general.name"), info.get("general.description"), show.get("system"))
    return any("demonstration" in str(text).lower() for text in said)


class Agents:
    """Carries out claims, over one HTTP client."""

    def __init__(self, client: httpx.Client, ollama_url: str, models: Sequence[str], max_tokens: int) -> None:
        self.client = client
        self.ollama_url = ollama_url
        self.models = models
        self.max_tokens = max_tokens
        self.demonstration: dict[str, bool] = {}

    def work(self, claim: Claim, registered: Mapping[str, str]) -> Answer:
        """Do one task; raises NotReachable, Faulty or Refused. `registered` maps names to their JSON."""
        if claim.agent in ("", MODEL_AGENT):
            return self.ask_model(claim)
        if claim.agent not in registered:
            raise Refused(f"agent {claim.agent} is not registered (any more)")
        return self.ask_agent(json.loads(registered[claim.agent])["url"], claim)

    def reachable(self) -> bool:
        """Tell whether the model server answers at all."""
        try:
            return self.client.get(f"{self.ollama_url}/api/version", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def ask_model(self, claim: Claim) -> Answer:
        """Have the model continue the prompt; raises Refused when it answers nothing."""
        model, digest = self._pick(claim.model)
        options = {"num_predict": claim.max_tokens or self.max_tokens}
        body = {"model": model, "prompt": claim.prompt, "stream": False, "options": options}
        began = time.monotonic()
        answer = self._post(f"{self.ollama_url}/api/generate", body)
        text = str(answer.get("response") or "")
        if not text.strip():
            raise Refused(f"{model} answered nothing")
        return Answer(
            text=text,
            model=model,
            digest=digest,
            demonstration=self._is_demonstration(model, digest),
            tokens=int(answer.get("eval_count") or 0),
            seconds=time.monotonic() - began,
        )

    def ask_agent(self, url: str, claim: Claim) -> Answer:
        """Give the task to a registered agent: POST url/execute, its `result` or `response` is the answer."""
        began = time.monotonic()
        answer = self._post(f"{url.rstrip('/')}/execute", {"id": claim.task, "prompt": claim.prompt})
        text = str(answer.get("result") or answer.get("response") or "")
        if not text.strip():
            raise Refused(f"agent {claim.agent} answered nothing")
        return Answer(text=text, seconds=time.monotonic() - began)

    def _pick(self, asked: str) -> tuple[str, str]:
        digests = {entry["name"]: entry.get("digest", "") for entry in self._tags()}
        model = choose_model((asked,) if asked else self.models, list(digests))
        if model is None and asked:
            raise Refused(f"the model server has no model {asked}")
        if model is None:
            raise NotReachable(f"the model server has none of {', '.join(self.models)} yet")
        return model, digests[model]

    def _tags(self) -> list[dict[str, Any]]:
        return list(self._send("GET", f"{self.ollama_url}/api/tags", None).get("models") or ())

    def _is_demonstration(self, model: str, digest: str) -> bool:
        if digest not in self.demonstration:
            show = self._post(f"{self.ollama_url}/api/show", {"model": model})
            self.demonstration[digest] = is_demonstration(model, show)
        return self.demonstration[digest]

    def _post(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._send("POST", url, body)

    def _send(self, method: str, url: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the JSON object of an answer; sorts what can go wrong into the three errors."""
        try:
            response = self.client.request(method, url, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise NotReachable(f"{httpx.URL(url).host} does not answer: {error}") from error
        except httpx.HTTPError as error:
            raise Faulty(f"{httpx.URL(url).host} broke off: {type(error).__name__} {error}".strip()) from error
        if response.is_client_error:
            raise Refused(f"{httpx.URL(url).path} answered {response.status_code}: {response.text[:200]}")
        if not response.is_success:
            raise Faulty(f"{httpx.URL(url).path} answered {response.status_code}: {response.text[:200]}")
        try:
            return dict(response.json())
        except (ValueError, TypeError) as error:
            raise Faulty(f"{httpx.URL(url).path} answered no JSON object") from error

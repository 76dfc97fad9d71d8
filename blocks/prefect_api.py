"""The few calls to Prefect's REST API that must not cost an import of Prefect (1.2 s)."""

from __future__ import annotations

import base64
import http.client
import json
import time
from dataclasses import dataclass
from typing import Any

BUSY = 503
BUSY_TRIES = 8
BUSY_PAUSE = 0.5


@dataclass(frozen=True)
class PrefectApi:
    """A Prefect server on this machine.

    Args:
        port: TCP port on 127.0.0.1.
        auth: `user:password`.
        limit: Seconds that one answer may take.
    """

    port: int
    auth: str
    limit: float = 5

    def healthy(self) -> bool:
        """Whether the server answers that it is well."""
        try:
            return self.call("GET", "/health") is True
        except (OSError, http.client.HTTPException, ValueError):
            return False

    def accepts_us(self) -> bool:
        """Whether the server takes our password; False also when another server holds the port."""
        try:
            return isinstance(self.call("GET", "/admin/version"), str)
        except (OSError, http.client.HTTPException, ValueError):
            return False

    def workers_online(self, pool: str) -> list[str]:
        """Names of the workers that serve a pool now."""
        try:
            workers = self.call("POST", f"/work_pools/{pool}/workers/filter", {})
        except (OSError, http.client.HTTPException, ValueError):
            return []
        return [worker["name"] for worker in workers if worker["status"] == "ONLINE"]

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request below /api; its JSON. ValueError for an answer that is an error or no JSON.

        A server on SQLite answers 503 while another writer holds the database: it is asked again.
        """
        for attempt in range(BUSY_TRIES):
            status, text = self._request(method, path, body)
            if status != BUSY or attempt == BUSY_TRIES - 1:
                break
            time.sleep(BUSY_PAUSE)
        if status >= 400:
            raise ValueError(f"{method} {path} answered {status}")
        return json.loads(text) if text else None

    def _request(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.limit)
        try:
            token = base64.b64encode(self.auth.encode()).decode()
            connection.request(
                method,
                f"/api{path}",
                body=None if body is None else json.dumps(body),
                headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

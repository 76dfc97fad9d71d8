"""Watching a project's containers: every end is noticed at once and counted."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from typing import Any

from blocks.engine import Engine
from compose.stack.observed import CONFIG_HASH, PROJECT, SERVICE

log = logging.getLogger("ops.watch")


class Watch:
    """Listens to the engine's events of one project while a walk goes on.

    Args:
        engine: Whose events.
        project: Of which compose project.
    """

    def __init__(self, engine: Engine, project: str) -> None:
        self._engine, self._project = engine, project
        self._ends: Counter[str] = Counter()
        self._healthy: set[str] = set()
        self._out_of_memory: set[str] = set()
        self._asked_to_end: set[str] = set()
        self._news = threading.Condition()
        self._closed = False
        self._stream: Any = None

    def __enter__(self) -> Watch:
        threading.Thread(target=self._listen, daemon=True, name="events").start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        closing = getattr(self._stream, "close", None)
        if closing:
            closing()

    def ends(self, container: str) -> int:
        """How often a container ended since the watch began."""
        return self._ends[container]

    def healthy(self, container: str) -> bool:
        """True when the engine's own health check said so since the watch began."""
        return container in self._healthy

    def ran_out_of_memory(self, container: str, patience: float) -> bool:
        """True when the engine said so since the watch began, or says so within some seconds.

        It tells of the end and of its cause by different ways; the cause may come last.
        """
        with self._news:
            return self._news.wait_for(lambda: container in self._out_of_memory, patience)

    def asked_to_end(self, container: str) -> bool:
        """True when somebody sent it a signal through the engine since the watch began."""
        return container in self._asked_to_end

    def wait(self, seconds: float) -> None:
        """Wait for news, at most this long."""
        with self._news:
            self._news.wait(seconds)

    def _listen(self) -> None:
        since = time.time()
        while not self._closed:
            try:
                filters = {"type": "container", "label": [f"{PROJECT}={self._project}", CONFIG_HASH]}
                self._stream = self._engine.client.api.events(since=since, decode=True, filters=filters)
                for event in self._stream:
                    since = float(event.get("timeNano", 0)) / 1e9 or since
                    self._take(event)
            except Exception as error:  # noqa: BLE001 - the stream ends when we close it or the engine goes away
                if not self._closed:
                    log.debug("event stream ended: %s", error)
                    self.wait(1.0)

    def _take(self, event: dict[str, Any]) -> None:
        what, container = str(event.get("Action") or ""), (event.get("Actor") or {}).get("ID", "")
        if what == "die":
            self._ends[container] += 1
        elif what == "health_status: healthy":
            self._healthy.add(container)
        elif what == "oom":
            self._out_of_memory.add(container)
        elif what == "kill":
            self._asked_to_end.add(container)
        else:
            return
        name = ((event.get("Actor") or {}).get("Attributes") or {}).get(SERVICE)
        log.debug("%s %s", name, what)
        with self._news:
            self._news.notify_all()

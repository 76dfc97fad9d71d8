"""Noticing that the Prefect server is gone, so that a run goes on without it and without a flood of errors."""

from __future__ import annotations

import logging
import threading
from functools import cache

import httpx
from prefect.logging.handlers import APILogHandler
from prefect.settings import PREFECT_API_URL

log = logging.getLogger("ops.walk")
EVERY = 1.0
REFUSALS = 2


class Presence:
    """Asks the server for a sign of life, once a second, on a thread of its own.

    Only a refused connection counts: a server that is slow is there.
    """

    def __init__(self, url: str) -> None:
        self._url = f"{url}/health"
        self._lost = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="presence").start()

    @property
    def lost(self) -> bool:
        """True once the server refused connections twice in a row; it stays so for this run."""
        return self._lost.is_set()

    def _watch(self) -> None:
        refused = 0
        with httpx.Client(trust_env=False, timeout=5.0, verify=False) as client:
            while refused < REFUSALS:
                self._lost.wait(EVERY)
                try:
                    client.get(self._url)
                    refused = 0
                except httpx.ConnectError:
                    refused += 1
                except httpx.HTTPError:
                    continue
        self._lost.set()
        log.warning("the Prefect server is gone: the work goes on and is not recorded any more")
        silence()


def silence() -> None:
    """Stop sending log records to a server that is gone."""
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        for handler in [one for one in logger.handlers if isinstance(one, APILogHandler)]:
            logger.removeHandler(handler)
    logging.getLogger("prefect").setLevel(logging.CRITICAL)
    logging.getLogger("prefect._internal").setLevel(logging.CRITICAL)


def presence() -> Presence:
    """The watch of the server that this process talks to now."""
    return _presence(str(PREFECT_API_URL.value() or ""))


@cache
def _presence(url: str) -> Presence:
    return Presence(url)

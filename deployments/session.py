"""What one command works with: the clone, its state directory, the settings, and what the user asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from blocks.home import Home
from tasks.prefect_server import PrefectService, prefect_environment

CLONE = Path(__file__).resolve().parent.parent

ONLY_OUR_LINES = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
    "PREFECT_CLIENT_MAX_RETRIES": "1",
}
"""Prefect's lines go to its UI, the terminal shows ours; a server that is gone is not asked for half a minute."""


@dataclass(frozen=True)
class Session:
    """A clone at work on its state directory."""

    home: Home
    settings: dict[str, str]
    clone: Path = CLONE

    @classmethod
    def open(cls) -> Session:
        """Find the state directory, claim it for this clone, read the settings."""
        home = Home.find()
        home.claim(CLONE)
        os.environ["OPS_HOME"] = str(home.path)
        return cls(home, home.settings())

    @property
    def prefect(self) -> PrefectService:
        """The server and worker of this home."""
        return PrefectService(self.home, self.settings)

    def use_prefect(self) -> None:
        """Point this process at our server; before Prefect is imported, for it reads its settings then."""
        os.environ.update(prefect_environment(self.home, self.settings))
        os.environ.update(ONLY_OUR_LINES)

"""Runs the initialiser once.

Exit codes: 0 the model (or, said loudly, its stand-in) is there and has answered; 1 it could not be had;
2 the environment or the catalogue is wrong; 3 its digest is not the catalogue's; 4 it answers nothing;
143 stopped by SIGTERM.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType

import httpx
import yaml

from model_init.catalogue import CatalogueError, Entry, parse
from model_init.ollama import NoServer, Ollama
from model_init.provide import NotProvided, provide
from model_init.settings import Settings, SettingsError

log = logging.getLogger("model-init")


def stop(_number: int, _frame: FrameType | None) -> None:
    """End at once; the server keeps what it has of a pull."""
    sys.exit(143)


def read(path: Path) -> tuple[Entry, ...]:
    """Return the catalogue; raises CatalogueError."""
    try:
        return parse(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CatalogueError(f"{path}: {error}") from error


def run() -> int:
    """Do the work; return the exit code."""
    try:
        settings = Settings.from_env(os.environ)
        entries = read(Path(settings.catalogue))
    except (SettingsError, CatalogueError) as error:
        log.error("%s", error)
        return 2
    try:
        with httpx.Client(trust_env=False) as http:
            server = Ollama(http, settings.ollama_url)
            log.info("Ollama %s answers", server.wait(settings.server_within))
            provided = provide(server, settings, entries)
    except NotProvided as error:
        log.error("%s", error)
        return error.code
    except (NoServer, httpx.HTTPError) as error:
        log.error("%s", error)
        return 1
    log.info("%s answered %d token(s): %r", provided.entry.name, provided.tokens, provided.text)
    if provided.stands_in:
        log.warning("READY WITH A STAND-IN: %s, not %s", provided.entry.name, settings.model)
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, stop)
    sys.exit(run())

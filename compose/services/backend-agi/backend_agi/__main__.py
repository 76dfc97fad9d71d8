"""Runs the backend."""

import logging
import os
import sys

import uvicorn

from backend_agi.app import create
from backend_agi.settings import Settings, SettingsError


def main() -> int:
    """Serve until SIGTERM; exit code 2 when the environment is incomplete."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        logging.error("backend-agi: %s", error)
        return 2
    uvicorn.run(
        create(settings),
        host="0.0.0.0",
        port=settings.port,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

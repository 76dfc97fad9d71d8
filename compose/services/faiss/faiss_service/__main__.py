"""Runs the service."""

import logging
import os
import sys

import uvicorn

from faiss_service import engine
from faiss_service.app import create
from faiss_service.settings import Settings, SettingsError
from faiss_service.store import Store


def main() -> int:
    """Serve until SIGTERM; exit code 2 when the environment is incomplete."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        logging.error("faiss: %s", error)
        return 2
    store = Store(settings.data, engine, settings.write_within, settings.max_vectors)
    store.load()
    uvicorn.run(
        create(settings, store),
        host="0.0.0.0",
        port=settings.port,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

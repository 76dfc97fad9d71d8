"""Runs the coordinator: HTTP here, workers as child processes."""

import logging
import os
import sys

import httpx
import uvicorn

from task_coordinator.app import create
from task_coordinator.context import Context
from task_coordinator.queue import Queue, connect
from task_coordinator.settings import Settings, SettingsError
from task_coordinator.supervisor import Supervisor


def main() -> int:
    """Serve until SIGTERM; exit code 2 when the environment is incomplete."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        logging.error("task-coordinator: %s", error)
        return 2
    client = connect(settings.redis_host, settings.redis_port, settings.redis_password, timeout=2)
    queue = Queue(client, settings.lease, settings.attempts, settings.keep)
    with httpx.Client(trust_env=False, timeout=5) as http:
        app = create(Context(settings, queue, Supervisor(queue, settings.workers), http))
        uvicorn.run(
            app, host="0.0.0.0", port=settings.port, access_log=False, log_config=None, timeout_graceful_shutdown=1
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

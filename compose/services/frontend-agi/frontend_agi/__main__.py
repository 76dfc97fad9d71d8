"""Runs Streamlit with settings that keep it quiet, small and at home."""

import logging
import os
import sys
from pathlib import Path

from streamlit import net_util
from streamlit.web import bootstrap

from frontend_agi.settings import Settings, SettingsError


def options(port: int) -> dict[str, object]:
    """Return Streamlit's configuration: no usage statistics, no file watcher, no editor, no browser."""
    return {
        "server.port": port,
        "server.address": "0.0.0.0",
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.runOnSave": False,
        "server.enableStaticServing": False,
        "server.maxUploadSize": 1,
        "browser.gatherUsageStats": False,
        "browser.serverAddress": "localhost",
        "browser.serverPort": port,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "global.developmentMode": False,
        "logger.level": "warning",
    }


def main() -> int:
    """Serve until SIGTERM; exit code 2 when the environment is incomplete."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as error:
        logging.error("frontend-agi: %s", error)
        return 2
    # Streamlit asks a public service for its own address when it meets a foreign origin; it shall not.
    net_util.get_external_ip = lambda: None
    flags = options(settings.port)
    bootstrap.load_config_options(flags)
    bootstrap.run(str(Path(__file__).with_name("page.py")), False, [], flags)
    return 0


if __name__ == "__main__":
    sys.exit(main())

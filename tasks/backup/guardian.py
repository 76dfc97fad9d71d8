"""The process that brings back what a dead one stopped: `python -m tasks.backup.guardian HOME`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from blocks.home import Home
from tasks.backup.watchdog import keep_watch

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    keep_watch(Home(Path(sys.argv[1])))

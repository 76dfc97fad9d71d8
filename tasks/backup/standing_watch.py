"""The watch that outlives everything: what a dead backup stopped is started after a reboot too."""

from __future__ import annotations

import sys

from blocks import systemd
from blocks.home import Home
from blocks.systemd_timer import Timer
from tasks.backup.watchdog import revive


def stand_watch(home: Home) -> bool:
    """Have systemd look every minute and after each boot, where it runs and this home is the machine's own.

    Elsewhere the guardian that each stop starts is the watch, and `./ops up` after a reboot.

    Returns:
        Whether anything had to be changed.
    """
    if not _by_systemd(home):
        return False
    argv = (sys.executable, "-P", "-m", "deployments.cli", "watchdog")
    return Timer(home.run).install(argv, {"OPS_HOME": str(home.path)})


def leave_watch(home: Home) -> bool:
    """Take the timer away; whether there was one."""
    return _by_systemd(home) and Timer(home.run).remove()


def _by_systemd(home: Home) -> bool:
    return systemd.usable() and home.path == Home.find({}).path


def bring_back(home: Home) -> list[str]:
    """Start what dead backups stopped; a line for each."""
    return [str(one) for one in revive(home)]

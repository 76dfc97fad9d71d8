"""The text of the systemd units that look after stopped services (systemd.timer(5))."""

from __future__ import annotations

from collections.abc import Sequence

from compose.stack.units import quoted

AFTER_BOOT = 30
EVERY = 60


def watchdog_service_text(argv: Sequence[str], variables: str) -> str:
    """A unit that runs one command to its end.

    Args:
        argv: The command with an absolute program.
        variables: File with its environment.
    """
    return f"""[Unit]
Description=Start again what a dead backup stopped
After=docker.service

[Service]
Type=oneshot
ExecStart={" ".join(quoted(word) for word in argv)}
EnvironmentFile={variables}
"""


def watchdog_timer_text(service: str) -> str:
    """A timer that starts a unit after the boot and every minute from then on."""
    return f"""[Unit]
Description=Every minute: {service.removesuffix(".service")}

[Timer]
OnBootSec={AFTER_BOOT}
OnUnitActiveSec={EVERY}
AccuracySec=5
Unit={service}

[Install]
WantedBy=timers.target
"""

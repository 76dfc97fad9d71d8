"""The units of the watchdog say when it runs: after each boot and every minute."""

from compose.stack.watchdog_units import watchdog_service_text, watchdog_timer_text


def test_the_timer_runs_the_unit_after_a_boot_and_every_minute():
    """30 s after the boot, then every 60 s; enabled with the other timers."""
    text = watchdog_timer_text("x-watchdog.service")
    for line in ("OnBootSec=30", "OnUnitActiveSec=60", "Unit=x-watchdog.service", "WantedBy=timers.target"):
        assert line in text.splitlines()


def test_the_unit_runs_to_its_end():
    """One round each time; words with spaces stay one word; what it needs to know lies in a file."""
    text = watchdog_service_text(("/opt/my ops/python", "-m", "deployments.cli", "watchdog"), "/run/w.env")
    lines = text.splitlines()
    assert "Type=oneshot" in lines
    assert 'ExecStart="/opt/my ops/python" -m deployments.cli watchdog' in lines
    assert "EnvironmentFile=/run/w.env" in lines

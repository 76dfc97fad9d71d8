"""The text of systemd units (systemd.service(5), systemd.exec(5))."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def unit_text(unit: str, argv: Sequence[str], variables: str) -> str:
    """A unit that keeps one command running, restarted whenever it ends.

    Args:
        unit: Its name, for the description.
        argv: The command with an absolute program.
        variables: File with its environment.
    """
    return f"""[Unit]
Description={unit.removesuffix(".service")}
Wants=network-online.target
After=network-online.target docker.service
StartLimitIntervalSec=0

[Service]
ExecStart={" ".join(quoted(word) for word in argv)}
EnvironmentFile={variables}
Restart=always
RestartSec=2
KillMode=mixed
TimeoutStopSec=30

[Install]
WantedBy=multi-user.target
"""


def variables_text(environment: Mapping[str, str]) -> str:
    """An EnvironmentFile: double quotes, with what is special inside them escaped."""
    return "".join(f"{name}={_quoted_value(value)}\n" for name, value in sorted(environment.items()))


def quoted(word: str) -> str:
    """A word of a command line in a unit."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(character in escaped for character in ' \t"\\;') else escaped


def _quoted_value(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("`", "\\`")
    return f'"{escaped}"'

"""This machine: who we are, what runs on it, and commands run with their output in a log."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from compose.stack import machine
from compose.stack.errors import Failed

SYSTEMD = Path("/run/systemd/system")
"""There only when systemd is the running init system (sd_booted(3))."""


def is_root() -> bool:
    """Whether we may change the machine."""
    return os.geteuid() == 0


def has_systemd() -> bool:
    """Whether systemd runs this machine."""
    return SYSTEMD.is_dir() and shutil.which("systemctl") is not None


def distribution() -> machine.Distribution:
    """The distribution this machine runs."""
    for path in (Path("/etc/os-release"), Path("/usr/lib/os-release")):
        if path.exists():
            return machine.distribution(path.read_text(encoding="utf-8"))
    return machine.Distribution("linux")


def apt_sources() -> dict[str, str]:
    """The machine's apt sources by path."""
    root = Path("/etc/apt")
    paths = [
        root / "sources.list",
        *root.glob("sources.list.d/*.list"),
        *root.glob("sources.list.d/*.sources"),
    ]
    return {str(path): path.read_text(encoding="utf-8", errors="replace") for path in paths if path.is_file()}


def is_headless() -> bool:
    """Whether a browser on this machine is unlikely: a remote shell, or no display."""
    graphical = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(os.environ.get("SSH_CONNECTION")) or not graphical


def run(
    argv: Sequence[str],
    *,
    log: Path,
    where: str,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    limit: float = 1800.0,
) -> None:
    """Run a command with everything it prints in a log; raise Failed with the log's last lines.

    Args:
        argv: The command, never a shell string.
        log: File that its output is appended to.
        where: What the command is for, named in the error.
        environment: Variables on top of ours.
        directory: Working directory.
        limit: Seconds after which it is killed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as output:
        output.write(f"$ {' '.join(argv)}\n")
        output.flush()
        begin = output.tell()
        try:
            code = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=directory,
                timeout=limit,
                check=False,
            ).returncode
        except FileNotFoundError as error:
            raise Failed(f"{argv[0]} is not installed", where=where) from error
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{argv[0]} did not end in {limit:.0f} s", where=where, next=f"less {log}") from error
    if code:
        with log.open(encoding="utf-8", errors="replace") as output:
            output.seek(begin)
            last = " | ".join(output.read().splitlines()[-3:])
        raise Failed(f"{' '.join(argv[:3])} ended with {code}: {last}", where=where, next=f"less {log}")


def ask(argv: Sequence[str], *, limit: float = 20.0) -> tuple[int, str, str]:
    """Run a short command; its exit code, output and errors, stripped. 127 when it is not installed."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=limit, check=False
        )
    except FileNotFoundError:
        return 127, "", f"{argv[0]} is not installed"
    except subprocess.TimeoutExpired:
        return 124, "", f"{' '.join(argv)} did not answer in {limit:.0f} s"
    return done.returncode, done.stdout.strip(), done.stderr.strip()

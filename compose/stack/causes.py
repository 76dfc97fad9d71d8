"""Why a container failed, where the engine or its own words tell."""

from __future__ import annotations

import re

from compose.stack.observed import Container

WORDS = (
    (re.compile(r"read-only file ?system", re.I), "it writes to a read-only file system"),
    (re.compile(r"no space left on device", re.I), "the disk is full"),
    (re.compile(r"address already in use", re.I), "its port is already in use"),
    (re.compile(r"permission denied", re.I), "permission denied"),
)
PORT = re.compile(r"(?:Bind for|listen tcp4?|failed to bind host port for) \S*?:(\d+)", re.I)


def cause_of_exit(container: Container, said: str, limit: str = "") -> str:
    """One sentence on why a container ended.

    Args:
        container: As observed after its end.
        said: Its last log lines.
        limit: Its memory limit in bytes, when it was killed and nobody asked the engine for that: what the kernel
            says of a container that ended at once can come too late for the engine to pass it on.
    """
    if container.oom_killed:
        return "it ran out of memory (its limit was reached)"
    if container.error:
        return cause_of_refusal(container.error)
    by_code = {
        126: "its command cannot be executed (exit code 126: no permission, or a wrong format)",
        127: "its command was not found (exit code 127)",
        137: "it was killed (exit code 137)",
        143: "it was asked to stop (exit code 143)",
    }
    if container.exit_code == 137 and limit:
        shown = f"{int(limit) / 2**20:.0f} MiB" if limit.isdigit() else limit
        return f"it was killed (exit code 137), not by the engine; most likely out of memory: its limit is {shown}"
    base = by_code.get(container.exit_code, f"it exited with code {container.exit_code}")
    hint = next((text for pattern, text in WORDS if pattern.search(said)), "")
    return f"{base}; {hint}" if hint else base


def cause_of_refusal(message: str) -> str:
    """One sentence on why the engine would not start a container."""
    port = bound_port(message)
    if port:
        return f"port {port} is already in use"
    if "executable file not found" in message or "no such file or directory: unknown" in message:
        return f"its command was not found: {_tail(message)}"
    if "permission denied" in message:
        return f"its command cannot be executed: {_tail(message)}"
    if "no space left on device" in message:
        return f"the disk is full: {_tail(message)}"
    return _tail(message)


def bound_port(message: str) -> int | None:
    """The host port that was already taken, if that is what the engine said."""
    if not re.search(r"already (allocated|in use)", message):
        return None
    found = PORT.search(message) or re.search(r":(\d+)(?: failed|: bind)", message)
    return int(found.group(1)) if found else None


def _tail(message: str) -> str:
    return " ".join(message.split())[-240:]

"""Keys that an older Compose reads without a word and then ignores."""

from __future__ import annotations

from collections.abc import Iterator

from compose.stack.machine import version_of
from compose.stack.preflight.findings import Finding
from compose.stack.service import Stack

SINCE = {"post_start": (2, 30), "pre_stop": (2, 30)}
"""Compose's release notes: lifecycle hooks came with 2.30; 2.26 accepts them and runs nothing (tried)."""


def check_compose(stack: Stack, compose: str) -> Iterator[Finding]:
    """Keys that the installed Compose would silently leave out.

    Args:
        compose: Its version; nothing is said where it is unknown.
    """
    installed = version_of(compose)
    for name, service in stack.services.items():
        for key, since in SINCE.items():
            if service.raw.get(key) and installed and installed < since:
                need = ".".join(str(part) for part in since)
                yield Finding("key-unsupported", f"Compose {compose} does not run it; {need} does", name, key)

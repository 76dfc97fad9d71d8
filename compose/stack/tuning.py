"""Section 5.2: settings that a file promises, to be read back from the running service."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from compose.stack.roles import Role, role_of
from compose.stack.service import Service

OLLAMA = ("OLLAMA_NUM_PARALLEL", "OLLAMA_MAX_LOADED_MODELS", "OLLAMA_KEEP_ALIVE")
_UNITS = {
    "": 1, "b": 1, "k": 1000, "m": 10**6, "g": 10**9, "kb": 2**10, "mb": 2**20, "gb": 2**30, "tb": 2**40,
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """One promised setting.

    Args:
        name: As the service calls it.
        wanted: As the file writes it.
    """

    name: str
    wanted: str


def promised(service: Service, told: Mapping[str, str]) -> tuple[Setting, ...]:
    """The settings that the file gives to a service.

    Args:
        service: The service.
        told: From `x-ops.verify.settings`: names of settings, each with the variable that holds its value.
            Without it, those of section 5.2 are looked for where the images take them.
    """
    role = role_of(service)
    given = {key: value for key, value in service.environment.items() if value}
    if told:
        return tuple(Setting(name, given.get(key, "")) for name, key in told.items())
    if role is Role.REDIS:
        wanted = _flag(service.command, "--maxmemory") or given.get("REDIS_MAXMEMORY")
        return (Setting("maxmemory", wanted),) if wanted else ()
    if role is Role.POSTGRES:
        pairs = (word.partition("=") for word in service.command if word.startswith("shared_buffers="))
        wanted = next((value for _, _, value in pairs), None) or given.get("POSTGRES_SHARED_BUFFERS")
        wanted = wanted or _flag(service.command, "--shared_buffers", "--shared-buffers")
        return (Setting("shared_buffers", wanted),) if wanted else ()
    if role is Role.OLLAMA:
        return tuple(Setting(name, given[name]) for name in OLLAMA if name in given)
    return ()


def differences(settings: tuple[Setting, ...], found: Mapping[str, str]) -> tuple[str, ...]:
    """The settings that are not as promised, in words."""
    return tuple(
        f"{setting.name} is {found.get(setting.name) or 'not set'}, the file says {setting.wanted or 'nothing'}"
        for setting in settings
        if not setting.wanted or not same(setting.wanted, found.get(setting.name) or "")
    )


def same(wanted: str, found: str) -> bool:
    """Equal as text, or as amounts of memory in whatever unit (`512mb` is 536870912)."""
    if wanted.strip() == found.strip():
        return True
    first, second = amount(wanted), amount(found)
    return first is not None and first == second


def amount(text: str) -> int | None:
    """Bytes of an amount as Redis and PostgreSQL write it; None for anything else."""
    parts = re.fullmatch(r"\s*(\d+)\s*([a-zA-Z]*)\s*", text)
    unit = _UNITS.get(parts[2].lower()) if parts else None
    return int(parts[1]) * unit if parts and unit else None


def _flag(words: tuple[str, ...], *names: str) -> str | None:
    split = next((value for flag, value in pairwise(words) if flag in names), None)
    joined = (word.split("=", 1)[1] for word in words if "=" in word and word.split("=", 1)[0] in names)
    return split or next(joined, None)

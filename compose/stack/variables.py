"""Variables of compose files: which are used, and how an env file is written that Compose reads back."""

from __future__ import annotations

import re
from collections.abc import Mapping

USED = re.compile(r"(?<!\$)(?:\$\$)*\$(?:\{([A-Za-z_][A-Za-z0-9_]*)|([A-Za-z_][A-Za-z0-9_]*))")

SOURCED = re.compile(r"^\s+environment:[ ]+([A-Za-z_][A-Za-z0-9_]*)[ ]*$", re.MULTILINE)


def names_sourced(flat: str) -> tuple[str, ...]:
    """The variables that secrets and configs take their content from (`environment: NAME`)."""
    return tuple(dict.fromkeys(SOURCED.findall(flat)))


def names_used(flat: str) -> tuple[str, ...]:
    """The variables that a compose file interpolates or sources, in order of appearance."""
    found = (braced or bare for braced, bare in USED.findall(flat))
    return tuple(dict.fromkeys([*found, *names_sourced(flat)]))


def env_file_text(values: Mapping[str, str]) -> str:
    """An env file that Compose reads back to exactly these values."""
    return "".join(f"{name}={quoted(value)}\n" for name, value in sorted(values.items()))


def quoted(value: str) -> str:
    """A value as an env file holds it, so that Compose reads back exactly this."""
    if "'" not in value and "\n" not in value and "\\" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$").replace("\n", "\\n")
    return f'"{escaped}"'

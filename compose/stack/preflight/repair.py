"""What has to be made up or left out so that Compose renders a project that it refuses."""

from __future__ import annotations

from compose.stack.preflight.source_checks import check_sources
from compose.stack.preflight.sources import Sources
from compose.stack.preflight.variable_checks import required_names

FIRST = 60811
"""Made-up values are numbers that pass for a port, a size or a password and that nobody would write."""


def made_up_values(sources: Sources) -> dict[str, str]:
    """A value of its own for every variable that the files require and that is not set."""
    return {name: str(FIRST + index) for index, name in enumerate(required_names(sources))}


def overlay(sources: Sources) -> str:
    """A compose file that takes the env files away from services that lack them; empty when none does."""
    names = {item.service for item in check_sources(sources, "?") if item.code == "env-file-missing"}
    if not names:
        return ""
    return "services:\n" + "".join(f'  "{name}":\n    env_file: !reset []\n' for name in sorted(names))

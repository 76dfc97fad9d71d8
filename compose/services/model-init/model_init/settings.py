"""What the initialiser is told through its environment."""

from collections.abc import Mapping
from dataclasses import dataclass


class SettingsError(Exception):
    """The environment lacks something; every problem is in the message."""


@dataclass(frozen=True)
class Settings:
    """The wanted model, the one that may stand in for it, and times in seconds."""

    ollama_url: str
    model: str
    fallback: str
    catalogue: str
    server_within: float = 60.0
    library_within: float = 20.0

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read the settings; raises SettingsError that names every missing or malformed variable."""
        problems = [f"{key} is not set" for key in ("OLLAMA_URL", "MODEL") if not env.get(key)]

        def seconds(key: str, default: float) -> float:
            try:
                value = float(env.get(key) or default)
            except ValueError:
                value = 0
            if value <= 0:
                problems.append(f"{key} is not a number above 0")
            return value

        settings = cls(
            ollama_url=env.get("OLLAMA_URL", "").rstrip("/"),
            model=env.get("MODEL", ""),
            fallback=env.get("FALLBACK_MODEL", ""),
            catalogue=env.get("CATALOGUE") or "/etc/sutazai/models.yaml",
            server_within=seconds("SERVER_WITHIN_SECONDS", cls.server_within),
            library_within=seconds("LIBRARY_WITHIN_SECONDS", cls.library_within),
        )
        if problems:
            raise SettingsError("; ".join(problems))
        return settings

"""What the service is told through its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class SettingsError(Exception):
    """The environment lacks something; every problem is in the message, no value is."""


@dataclass(frozen=True)
class Settings:
    """Place, secret and limits; times in seconds."""

    api_token: str = field(repr=False)
    data: Path = Path("/data")
    port: int = 8000
    max_vectors: int = 200_000
    write_within: float = 60.0

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read the settings; raises SettingsError that names every missing or malformed variable."""
        problems = [] if env.get("API_TOKEN") else ["API_TOKEN is not set"]

        def number(key: str, default: float) -> float:
            try:
                value = float(env.get(key) or default)
            except ValueError:
                problems.append(f"{key} is not a number")
                return default
            if value < 1:
                problems.append(f"{key} is below 1")
            return value

        settings = cls(
            api_token=env.get("API_TOKEN", ""),
            data=Path(env.get("DATA") or cls.data),
            port=int(number("PORT", cls.port)),
            max_vectors=int(number("MAX_VECTORS", cls.max_vectors)),
            write_within=number("WRITE_TIMEOUT_SECONDS", cls.write_within),
        )
        if problems:
            raise SettingsError("; ".join(problems))
        return settings

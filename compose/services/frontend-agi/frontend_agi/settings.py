"""What the interface is told through its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field


class SettingsError(Exception):
    """The environment lacks something; every problem is in the message, no value is."""


@dataclass(frozen=True)
class Settings:
    """Addresses of the services behind, the token that stays on the server, and the port."""

    backend_url: str
    coordinator_url: str
    api_token: str = field(repr=False)
    port: int = 8501

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read the settings; raises SettingsError that names every missing or malformed variable."""
        required = ("BACKEND_URL", "COORDINATOR_URL", "API_TOKEN")
        problems = [f"{key} is not set" for key in required if not env.get(key)]
        port = env.get("PORT") or str(cls.port)
        if not port.isdigit():
            problems.append("PORT is not a number")
        if problems:
            raise SettingsError("; ".join(problems))
        return cls(env["BACKEND_URL"].rstrip("/"), env["COORDINATOR_URL"].rstrip("/"), env["API_TOKEN"], int(port))

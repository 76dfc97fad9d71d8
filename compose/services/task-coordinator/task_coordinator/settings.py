"""What the coordinator is told through its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field


class SettingsError(Exception):
    """The environment lacks something; every problem is in the message, no value is."""


@dataclass(frozen=True)
class Settings:
    """Addresses, secrets and limits; times in seconds."""

    redis_host: str
    redis_port: int
    redis_password: str = field(repr=False)
    api_token: str = field(repr=False)
    ollama_url: str
    models: tuple[str, ...]
    port: int = 8522
    workers: int = 2
    lease: float = 15.0
    attempts: int = 5
    max_tokens: int = 256
    answer_within: float = 300.0
    keep: int = 7 * 24 * 3600

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read the settings; raises SettingsError that names every missing or malformed variable."""
        required = ("REDIS_HOST", "REDIS_PASSWORD", "API_TOKEN", "OLLAMA_URL", "MODEL_PREFERENCE")
        problems = [f"{key} is not set" for key in required if not env.get(key)]

        def number(key: str, default: float, least: float) -> float:
            try:
                value = float(env.get(key) or default)
            except ValueError:
                problems.append(f"{key} is not a number")
                return default
            if value < least:
                problems.append(f"{key} is below {least:g}")
            return value

        settings = cls(
            redis_host=env.get("REDIS_HOST", ""),
            redis_port=int(number("REDIS_PORT", 6379, 1)),
            redis_password=env.get("REDIS_PASSWORD", ""),
            api_token=env.get("API_TOKEN", ""),
            ollama_url=env.get("OLLAMA_URL", "").rstrip("/"),
            models=tuple(name.strip() for name in env.get("MODEL_PREFERENCE", "").split(",") if name.strip()),
            port=int(number("PORT", cls.port, 1)),
            workers=int(number("WORKERS", cls.workers, 1)),
            lease=number("TASK_LEASE_SECONDS", cls.lease, 0.5),
            attempts=int(number("TASK_ATTEMPTS", cls.attempts, 1)),
            max_tokens=int(number("MAX_TOKENS", cls.max_tokens, 1)),
            answer_within=number("ANSWER_TIMEOUT_SECONDS", cls.answer_within, 1),
            keep=int(number("TASK_KEEP_SECONDS", cls.keep, 60)),
        )
        if problems:
            raise SettingsError("; ".join(problems))
        return settings

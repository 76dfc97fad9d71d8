"""What the backend is told through its environment."""

from collections.abc import Mapping
from dataclasses import dataclass, field

REQUIRED = (
    "POSTGRES_HOST",
    "POSTGRES_USER",
    "POSTGRES_PASSWORD",
    "POSTGRES_DB",
    "REDIS_HOST",
    "REDIS_PASSWORD",
    "CHROMADB_URL",
    "OLLAMA_URL",
    "COORDINATOR_URL",
    "MODEL_PREFERENCE",
    "API_TOKEN",
    "SECRET_KEY",
)


class SettingsError(Exception):
    """The environment lacks something; every problem is in the message, no value is."""


@dataclass(frozen=True)
class Settings:
    """Addresses, secrets and limits; times in seconds."""

    postgres_host: str
    postgres_user: str
    postgres_password: str = field(repr=False)
    postgres_db: str
    redis_host: str
    redis_password: str = field(repr=False)
    chromadb_url: str
    ollama_url: str
    coordinator_url: str
    model_preference: str
    api_token: str = field(repr=False)
    secret_key: str = field(repr=False)
    postgres_port: int = 5432
    redis_port: int = 6379
    port: int = 8000
    health_within: float = 2.0
    answer_within: float = 300.0
    max_tokens: int = 256
    environment: str = "production"

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "Settings":
        """Read the settings; raises SettingsError that names every missing or malformed variable."""
        problems = [f"{key} is not set" for key in REQUIRED if not env.get(key)]

        def number(key: str, default: float) -> float:
            try:
                value = float(env.get(key) or default)
            except ValueError:
                value = 0
            if value <= 0:
                problems.append(f"{key} is not a number above 0")
            return value

        given = {key.lower(): env.get(key, "") for key in REQUIRED}
        for key in ("chromadb_url", "ollama_url", "coordinator_url"):
            given[key] = given[key].rstrip("/")
        settings = cls(
            **given,
            postgres_port=int(number("POSTGRES_PORT", cls.postgres_port)),
            redis_port=int(number("REDIS_PORT", cls.redis_port)),
            port=int(number("PORT", cls.port)),
            health_within=number("HEALTH_TIMEOUT_SECONDS", cls.health_within),
            answer_within=number("ANSWER_TIMEOUT_SECONDS", cls.answer_within),
            max_tokens=int(number("MAX_TOKENS", cls.max_tokens)),
            environment=env.get("SUTAZAI_ENV") or cls.environment,
        )
        if problems:
            raise SettingsError("; ".join(problems))
        return settings

    @property
    def models(self) -> tuple[str, ...]:
        """The preferred models, best first."""
        return tuple(name.strip() for name in self.model_preference.split(",") if name.strip())

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return (self.postgres_password, self.redis_password, self.api_token, self.secret_key)

"""The credentials of a database, from its container: environment, secrets' files, command line, configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from compose.stack.backup import tools
from compose.stack.observed import Container

Read = Callable[[str], str | None]
"""The text of a file in the container; None when it is not there."""
Run = Callable[[str, tuple[str, ...], float], tuple[int, str]]

READING = 5.0
POSTGRES_USERS = ("POSTGRES_USER", "POSTGRESQL_USERNAME", "PGUSER")
POSTGRES_PASSWORDS = ("POSTGRES_PASSWORD", "POSTGRESQL_PASSWORD", "POSTGRESQL_POSTGRES_PASSWORD", "PGPASSWORD")
POSTGRES_DATABASES = ("POSTGRES_DB", "POSTGRESQL_DATABASE", "PGDATABASE")
REDIS_PASSWORDS = ("REDIS_PASSWORD", "REDISCLI_AUTH", "VALKEY_PASSWORD")


@dataclass(frozen=True)
class Login:
    """How one gets into a PostgreSQL server; the password is None where none is known."""

    user: str
    password: str | None = field(repr=False)
    database: str


def reader(container: Container, run: Run) -> Read:
    """Reads files by running `cat` in the container."""

    def read(path: str) -> str | None:
        code, output = run(container.id, ("cat", path), READING)
        return output if code == 0 else None

    return read


def secret(container: Container, read: Read, *keys: str) -> str | None:
    """The first of these variables that the container has, or what the file says that `KEY_FILE` names."""
    for key in keys:
        if value := container.environment.get(key):
            return value
        if path := container.environment.get(f"{key}_FILE"):
            text = read(path)
            if text is not None:
                return text.rstrip("\n")
    return None


def postgres_login(container: Container, read: Read) -> Login:
    """The user that the image makes, by the names of the official image, of Bitnami's, and of libpq."""
    user = secret(container, read, *POSTGRES_USERS) or "postgres"
    password = secret(container, read, *POSTGRES_PASSWORDS)
    return Login(user, password, secret(container, read, *POSTGRES_DATABASES) or user)


def redis_passwords(container: Container, read: Read) -> tuple[str, ...]:
    """What may be the password, the likeliest first: command, environment, a secret's file, `redis.conf`."""
    found = [*tools.redis_passwords(container.environment, container.command)]
    found.append(secret(container, read, *REDIS_PASSWORDS) or "")
    files = (word for word in container.command if word.startswith("/") and word.endswith(".conf"))
    found += [tools.redis_conf_password(read(path) or "") or "" for path in files]
    return tuple(dict.fromkeys(one for one in found if one))

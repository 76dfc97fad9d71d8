"""Secrets that are empty, missing or known to everybody. A finding names the key, never the value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from compose.stack.preflight.findings import Finding
from compose.stack.roles import Role, role_of
from compose.stack.service import Service, Stack

SECRET_KEY = re.compile(
    r"(?:^|_)(?:PASSWORD|PASSWD|PASS|PWD|PASSPHRASE|SECRET|TOKEN|APIKEY|CREDENTIALS?|"
    r"(?:API|SECRET|PRIVATE|ACCESS|ENCRYPTION|AUTH|JWT|MASTER|SIGNING|ADMIN)_?KEY|JWT|SALT|NEO4J_AUTH)$",
    re.IGNORECASE,
)
_MUST_HAVE = re.compile(r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|SECRET_KEY)$", re.IGNORECASE)
_KNOWN = """
password passw0rd p@ssw0rd passwd pass pwd secret changeme change-me change_me changeit changethis
please-change default admin administrator root toor user guest test testing demo example dummy foo bar foobar
qwerty letmein welcome abc123 123 1234 12345 123456 1234567 12345678 123456789 1234567890 postgres postgresql
redis mysql mariadb mongo mongodb neo4j rabbitmq minio minioadmin grafana ollama litellm sk-1234 sk-local
sutazai secretkey secret_key secret-key mysecret mysecretpassword supersecret supersecretkey your_password
your-password your_secret your-secret-key your_secret_key insecure none null xxx xxxx todo token apikey
api_key password1 password123 admin123 root123 secret123 test123 postgres123 redis123 sutazai123 changeme123
"""
KNOWN = frozenset(_KNOWN.split())
_PLACEHOLDER = re.compile(
    r"^(?:<.*>|\{.*\}|\[.*\]|(?:your|my|insert|replace|enter|put)[-_ ].*|x{3,}|\*{3,}|\.{3,})$", re.I
)
_TRUE = {"1", "true", "yes", "on"}


def is_secret(key: str) -> bool:
    """Whether a variable's name says that it holds a secret."""
    return bool(SECRET_KEY.search(key)) and not re.search(r"ALLOW_EMPTY|RANDOM_ROOT", key, re.IGNORECASE)


def is_known(value: str, *names: str) -> bool:
    """Whether everybody knows a value: a usual default, a placeholder, or one of the names beside it."""
    text = value.strip().strip("'\"").lower()
    return text in KNOWN or bool(_PLACEHOLDER.match(text)) or text in {name.lower() for name in names if name}


def check_secrets(stack: Stack) -> Iterator[Finding]:
    """Secrets in the environment of every service."""
    for service in stack.services.values():
        yield from _values(stack, service)
        yield from _in_command(stack, service)
        yield from _authentication(service)
        yield from _missing(service)


def _values(stack: Stack, service: Service) -> Iterator[Finding]:
    for key, value in service.environment.items():
        place = f"environment.{key}"
        if value is None:
            continue
        if is_secret(key):
            if not value.strip():
                if stack.hints.own or _MUST_HAVE.search(key):
                    yield Finding("empty-secret", f"{key} is empty", service.name, place)
            elif any(is_known(part, service.name, stack.project, key) for part in _secret_parts(key, value)):
                yield Finding("default-secret", f"{key} has a value that everybody knows", service.name, place)
        elif (
            "://" in value and (password := _url_password(value)) is not None and is_known(password, stack.project)
        ):
            yield Finding(
                "default-secret", f"the password in {key} is one that everybody knows", service.name, place
            )


def _secret_parts(key: str, value: str) -> tuple[str, ...]:
    """The secret in a value: NEO4J_AUTH has `user/password`."""
    if key.upper() == "NEO4J_AUTH":
        return (value.partition("/")[2] or "strong",)
    return (value,)


def _url_password(value: str) -> str | None:
    try:
        password = urlsplit(value.strip()).password
    except ValueError:
        return None
    return unquote(password) if password is not None else None


def _in_command(stack: Stack, service: Service) -> Iterator[Finding]:
    words = " ".join(service.command)
    found = re.search(r"--requirepass[ =]+['\"]?([^\s'\"]*)", words)
    if found and not found[1].startswith("$") and is_known(found[1] or "none", service.name, stack.project):
        yield Finding("default-secret", "the password of --requirepass is one that everybody knows", service.name,
                      "command")  # fmt: skip


def _authentication(service: Service) -> Iterator[Finding]:
    for key, value in service.environment.items():
        text = (value or "").strip().lower()
        open_door = (
            (key == "POSTGRES_HOST_AUTH_METHOD" and text == "trust")
            or (key == "NEO4J_AUTH" and text == "none")
            or (key.endswith("ALLOW_EMPTY_PASSWORD") and text in _TRUE)
            or (key.endswith("ALLOW_EMPTY_ROOT_PASSWORD") and text in _TRUE)
            or (key == "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED" and text in _TRUE)
        )
        if open_door:
            yield Finding("no-authentication", f"{key} lets everybody in", service.name, f"environment.{key}")


_ONE_OF = {
    Role.POSTGRES: ("POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE", "POSTGRES_HOST_AUTH_METHOD"),
    Role.MYSQL: (
        "MYSQL_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD_FILE", "MYSQL_ALLOW_EMPTY_PASSWORD",
        "MYSQL_RANDOM_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD_FILE",
        "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD", "MARIADB_RANDOM_ROOT_PASSWORD", "MARIADB_ROOT_PASSWORD_HASH",
    ),
}  # fmt: skip


def _missing(service: Service) -> Iterator[Finding]:
    wanted = _ONE_OF.get(role_of(service), ())
    if wanted and not any(key in service.environment for key in wanted):
        yield Finding("missing-secret", f"{wanted[0]} is not set", service.name, f"environment.{wanted[0]}")

"""Every setting of our own stacks with its default, and which secrets have to be made."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from compose.stack.errors import Refused

DEFAULTS: Mapping[str, str] = {
    "OPS_BIND": "127.0.0.1",
    "OPS_PROJECT": "sutazai",
    "OPS_SUBNET": "172.20.0.0/16",
    "OPS_STORES_PROJECT": "sutazai-stores",
    "OPS_STORES_SUBNET": "172.21.0.0/16",
    "OPS_IMAGES": "auto",
    "OPS_PREFECT_PORT": "4200",
    "OPS_BACKUP_TARGETS": "",
    "OPS_BACKUP_RECIPIENTS": "",
    "OPS_BACKUP_KEEP": "last=7,daily=7,weekly=5,monthly=12,minimum=3",
    "OPS_BACKUP_MAX_AGE": "26",
    "OPS_BACKUP_DROP": "0.5",
    "OPS_BACKUP_PING_URL": "",
    "OPS_SPOOL": "",
    "POSTGRES_PORT": "5432",
    "REDIS_PORT": "6379",
    "CHROMADB_PORT": "8001",
    "OLLAMA_PORT": "11434",
    "BACKEND_PORT": "8000",
    "FRONTEND_PORT": "8501",
    "COORDINATOR_PORT": "8522",
    "HTTP_PORT": "80",
}
PROJECTS = ("OPS_PROJECT", "OPS_STORES_PROJECT")
SUBNETS = ("OPS_SUBNET", "OPS_STORES_SUBNET")

SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "SECRET_KEY", "API_TOKEN")
IMAGE_POLICIES = ("registry", "offline", "auto")


def effective(environment: Mapping[str, str], stored: Mapping[str, str]) -> dict[str, str]:
    """Every setting's value: the environment first, then the stored file, then the default.

    Raises Refused with all bad values at once.
    """
    environment = without_links(environment)
    values = {name: environment.get(name) or stored.get(name) or default for name, default in DEFAULTS.items()}
    problems = [problem for name, value in values.items() if (problem := _problem(name, value))]
    problems += _ports_used_twice(values)
    if len({values[name] for name in PROJECTS}) < len(PROJECTS):
        problems.append(f"{' and '.join(PROJECTS)} are both {values['OPS_PROJECT']}")
    if problems:
        raise Refused("; ".join(problems), where="settings", next="correct the variable or the line in .env")
    return values


def without_links(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what Kubernetes and Docker links put there, `REDIS_PORT=tcp://10.0.0.1:6379`."""
    return {name: value for name, value in environment.items() if not (name.endswith("_PORT") and "://" in value)}


def _problem(name: str, value: str) -> str:
    if name.endswith("_PORT") and not (value.isdigit() and 0 < int(value) < 65536):
        return f"{name}={value} is no port (1 to 65535)"
    if name in PROJECTS and not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", value):
        return f"{name}={value} is no Compose project name (lower-case letters, digits, _ and -)"
    if name in {"OPS_BACKUP_MAX_AGE", "OPS_BACKUP_DROP"} and not re.fullmatch(r"\d+(\.\d+)?", value):
        return f"{name}={value} is no number"
    if name == "OPS_IMAGES" and value not in IMAGE_POLICIES:
        return f"{name}={value} is none of {', '.join(IMAGE_POLICIES)}"
    try:
        if name == "OPS_BIND":
            ipaddress.ip_address(value)
        if name in SUBNETS:
            ipaddress.ip_network(value)
    except ValueError as error:
        return f"{name}={value}: {error}"
    return ""


def _ports_used_twice(values: Mapping[str, str]) -> list[str]:
    users: dict[str, list[str]] = {}
    for name, value in values.items():
        if name.endswith("_PORT"):
            users.setdefault(value, []).append(name)
    return [f"{' and '.join(names)} are both {port}" for port, names in users.items() if len(names) > 1]


@dataclass(frozen=True)
class SecretState:
    """What is known of one secret before it is decided on.

    Args:
        name: `POSTGRES_PASSWORD`.
        present: It has a value, in the environment or the stored file.
        store: The service whose data keeps it from its first start on, empty when none does.
        store_exists: That service's volume is there.
        adopted: Keyed hash of the value that the store took over, empty when not recorded.
        current: Keyed hash of the present value.
    """

    name: str
    present: bool
    store: str = ""
    store_exists: bool = False
    adopted: str = ""
    current: str = ""


def secrets_to_generate(states: Iterable[SecretState]) -> tuple[str, ...]:
    """The secrets to make now; refuses, all at once, those that a database remembers otherwise."""
    generate, problems = [], []
    for state in states:
        if not state.present and state.store_exists:
            problems.append(
                f"{state.name} is missing, but the data of {state.store} keeps the one it was made with"
            )
        elif not state.present:
            generate.append(state.name)
        elif state.store_exists and state.adopted and state.adopted != state.current:
            problems.append(f"{state.name} differs from the one that the data of {state.store} was made with")
    if problems:
        raise Refused(
            "; ".join(problems),
            where=".env",
            next="put the earlier value back, or change it inside the database first and then run "
            "./ops up --adopt-secrets",
        )
    return tuple(generate)

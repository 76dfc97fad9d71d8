"""Secrets that an author wrote into the file itself: a release keeps variables in their place."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import yaml

from compose.stack.redact import Redactor
from compose.stack.variables import names_used
from compose.stack.yaml_text import load

PREFIX = "OPS_LITERAL_"
DEFAULTED = re.compile(rf"\$\{{([A-Za-z_][A-Za-z0-9_]*):?-\$\{{({PREFIX}\w+)\}}\}}")
"""A written secret that is only the default of a variable."""


def name_of(secret: str, keyed_hash: Callable[[str], str]) -> str:
    """The variable that stands for a secret."""
    return f"{PREFIX}{keyed_hash(secret)[:16].upper()}"


def take_out(flat: str, redactor: Redactor, keyed_hash: Callable[[str], str]) -> tuple[str, tuple[str, ...]]:
    """The file with a variable wherever a secret is written out, and the names of those variables.

    Only values below `services`, `configs` and `secrets` are looked at, never keys; a file without written
    secrets comes back as it is.

    Args:
        flat: A compose file, variables as written.
        redactor: Knows the secrets.
    """
    if not any(secret in flat or _escaped(secret) in flat for secret in redactor.values):
        return flat, ()
    body = load(flat)
    names: set[str] = set()

    def replaced(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        if not isinstance(value, str):
            return value
        for secret in sorted(redactor.values, key=len, reverse=True):
            written = _escaped(secret)
            if written in value:
                names.add(name_of(secret, keyed_hash))
                value = value.replace(written, f"${{{name_of(secret, keyed_hash)}}}")
        return value

    for name, service in (body.get("services") or {}).items():
        kept = {
            key: service[key] for key in ("image", "networks", "depends_on", "volumes", "ports") if key in service
        }
        body["services"][name] = {**replaced(service), **kept}
    for section in ("configs",):
        if body.get(section):
            body[section] = replaced(body[section])
    return (str(yaml.safe_dump(body, sort_keys=False)), tuple(sorted(names))) if names else (flat, ())


def _escaped(secret: str) -> str:
    return secret.replace("$", "$$")


def put_back(
    flat: str, known: Iterable[str], keyed_hash: Callable[[str], str], given: Collection[str] = ()
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Values for the variables that stand for written secrets, and those for which today's files have none.

    Args:
        flat: The file of a release.
        known: The secrets of today's files.
        given: Variables that have a value today, so that nobody asks for their default.
    """
    values = {name_of(secret, keyed_hash): secret for secret in known}
    asked = DEFAULTED.sub(lambda found: "" if found[1] in given else found[0], flat)
    used = {word for word in names_used(asked) if word.startswith(PREFIX)}
    return {name: values[name] for name in used if name in values}, tuple(sorted(used - set(values)))


def with_environment(
    flat: str,
    recorded: Mapping[str, Mapping[str, Any]],
    today: Mapping[str, Mapping[str, str | None]],
    keyed_hash: Callable[[str], str],
) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """The file of a release with what its env files said then, values for it, and secrets that are gone.

    Env files are not kept: what they said is in the services as recorded, secrets as keyed hashes. A secret is
    taken from today's env files, through a variable, so that its value is not written down.

    Args:
        flat: The file of a release.
        recorded: Each service as it was rendered then.
        today: The environment of each service as rendered now.
    """
    body = load(flat)
    values: dict[str, str] = {}
    gone: list[str] = []
    changed = False
    for name, service in (body.get("services") or {}).items():
        then = (recorded.get(name) or {}).get("environment")
        if not service.get("env_file") or not isinstance(then, Mapping):
            continue
        changed = bool(service.pop("env_file"))
        own = dict(service.get("environment") or {})
        for key, value in then.items():
            if key in own:
                continue
            if not str(value).startswith("secret:"):
                own[key] = value if value is None else str(value)
            elif now := (today.get(name) or {}).get(key):
                secret = now.replace("$$", "$")
                own[key] = f"${{{name_of(secret, keyed_hash)}}}"
                values[name_of(secret, keyed_hash)] = secret
            else:
                gone.append(f"{name}.environment.{key}")
        service["environment"] = own
    return (str(yaml.safe_dump(body, sort_keys=False)) if changed else flat), values, tuple(gone)

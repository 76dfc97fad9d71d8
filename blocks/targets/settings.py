"""Targets as people name them, with the settings that belong to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from blocks.targets.base import Target
from compose.stack.backup.keys import is_safe
from compose.stack.errors import Refused

_NAMED = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]{0,31})=(?P<address>.+)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_REGION = "us-east-1"
_FORMS = "/a/directory, file:///a/directory, s3://bucket/prefix, or name= before one of them"


def target_from(text: str, environment: Mapping[str, str], stored: Mapping[str, str]) -> Target:
    """The target that somebody asked for; nothing connects yet.

    Args:
        text: `/srv/backups`, `file:///srv/backups`, `s3://bucket/prefix`, or one of them as `offsite=…`.
        environment: Variables, which come first. A target called `offsite` reads OPS_OFFSITE_S3_ENDPOINT and so
            on before OPS_S3_ENDPOINT; keys are read as pairs, never one half from each.
        stored: The stack's own settings.

    Raises:
        Refused: It is none of these, or its settings are missing or wrong; all of them at once.
    """
    match = _NAMED.fullmatch(text)
    name, address = (match["name"], match["address"]) if match else ("", text)
    if address.startswith("s3://"):
        return _s3(name, address, _Settings(name, environment, stored))
    if address.startswith("file://"):
        parts = urlsplit(address)
        if parts.netloc not in ("", "localhost") or parts.query or parts.fragment:
            raise Refused("names no directory of this machine", where=text, next=f"one of: {_FORMS}")
        address = unquote(parts.path)
    if not address.startswith("/") or "\0" in address or "\n" in address:
        raise Refused("is no backup target", where=repr(text), next=f"one of: {_FORMS}")
    from blocks.targets.directory import DirectoryTarget

    return DirectoryTarget(Path(address), name)


class _Settings:
    """Values by their names after `OPS_`, those of the named target first."""

    def __init__(self, name: str, environment: Mapping[str, str], stored: Mapping[str, str]) -> None:
        upper = name.upper().replace("-", "_")
        self._prefixes = [f"OPS_{upper}_", "OPS_"] if name else ["OPS_"]
        self._sources = (environment, stored)

    def value(self, key: str) -> str:
        """One value; empty when nobody gave it."""
        return next((found for prefix in self._prefixes if (found := self._at(prefix + key))), "")

    def pair(self, key: str, secret: str, problems: list[str]) -> tuple[str, str]:
        """An access key and its secret from the same place; both empty when there are none."""
        for prefix in self._prefixes:
            found = self._at(prefix + key), self._at(prefix + secret)
            if any(found):
                if not all(found):
                    problems.append(f"{prefix}{secret if found[0] else key} is missing")
                return found
        return "", ""

    @property
    def first(self) -> str:
        """How the names of this target's own variables begin."""
        return self._prefixes[0]

    def _at(self, variable: str) -> str:
        return next((found for source in self._sources if (found := source.get(variable, "").strip())), "")


def _s3(name: str, address: str, settings: _Settings) -> Target:
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    prefix, endpoint = prefix.strip("/"), settings.value("S3_ENDPOINT")
    problems = list(place_problems(bucket, prefix, endpoint))
    key, secret = settings.pair("S3_ACCESS_KEY", "S3_SECRET_KEY", problems)
    delete_key, delete_secret = settings.pair("S3_DELETE_ACCESS_KEY", "S3_DELETE_SECRET_KEY", problems)
    if not key and not secret:
        problems.append(f"{settings.first}S3_ACCESS_KEY and {settings.first}S3_SECRET_KEY are not set")
    if problems:
        raise Refused("; ".join(problems), where=f"s3://{bucket}/{prefix}", next="correct the variables or .env")
    from blocks.targets.s3 import S3Target

    return S3Target(
        bucket,
        prefix,
        endpoint=endpoint,
        region=settings.value("S3_REGION") or _REGION,
        access_key=key,
        secret_key=SecretStr(secret),
        delete_access_key=delete_key,
        delete_secret_key=SecretStr(delete_secret) if delete_secret else None,
        name=name,
    )


def place_problems(bucket: str, prefix: str, endpoint: str) -> tuple[str, ...]:
    """What is wrong with an address on S3."""
    found = []
    if not _BUCKET.fullmatch(bucket):
        found.append(f"{bucket!r} is no bucket's name")
    if prefix and not is_safe(prefix):
        found.append(f"{prefix[:80]!r} is no prefix")
    if endpoint and not _is_endpoint(endpoint):
        found.append("the endpoint is no URL such as https://host:port, without user, path or query")
    return tuple(found)


def _is_endpoint(text: str) -> bool:
    try:
        url = urlsplit(text)
        sound = bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        return False
    bare = not (url.username or url.password or url.query or url.fragment) and url.path in ("", "/")
    return sound and bare and url.scheme in ("http", "https")

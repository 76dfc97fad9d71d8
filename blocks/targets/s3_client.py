"""The connection to an S3 server, with limits of our own and no settings from the surroundings."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr

CHUNK = 1024**2


@dataclass(frozen=True)
class Credentials:
    """Who asks.

    Args:
        key: The access key's id.
        secret: Its secret.
    """

    key: str
    secret: SecretStr


@dataclass(frozen=True)
class Patience:
    """How long a server may take.

    Args:
        connect: Seconds until it takes a connection, or takes what is sent.
        answer: Seconds of silence.
        attempts: How often each call is sent at most; boto waits up to 1, 2, 4 s in between.
    """

    connect: float = 20.0
    answer: float = 120.0
    attempts: int = 4


def connect(endpoint: str, region: str, credentials: Credentials, patience: Patience) -> Any:
    """A boto3 client, safe to use from several threads.

    Args:
        endpoint: URL; empty for AWS itself.
    """
    import boto3.session
    from botocore.config import Config

    session = boto3.session.Session(
        aws_access_key_id=credentials.key,
        aws_secret_access_key=credentials.secret.get_secret_value(),
        region_name=region,
    )
    client = session.client(
        "s3",
        endpoint_url=endpoint or None,
        config=Config(
            connect_timeout=patience.connect,
            read_timeout=patience.answer,
            retries={"mode": "standard", "total_max_attempts": patience.attempts},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if endpoint else "auto"},
            max_pool_connections=32,
            ignore_configured_endpoint_urls=True,
        ),
    )
    client.meta.events.register("before-call.s3", _add_md5)
    return client


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    """Content-MD5 on every body: the one checksum that all servers know."""
    body = params.get("body")
    if body or params.get("method") == "PUT":
        params["headers"]["Content-MD5"] = base64.b64encode(_md5(body or b"")).decode()


def _md5(body: Any) -> bytes:
    found = hashlib.md5(usedforsecurity=False)
    if not hasattr(body, "read"):
        found.update(body)
        return found.digest()
    start = body.tell()
    while chunk := body.read(CHUNK):
        found.update(chunk)
    body.seek(start)
    return found.digest()

"""Who may change things: holders of the token, or of a JWT that the secret key signed."""

import base64
import hashlib
import hmac
import json
from typing import Any


def allowed(authorization: str, api_token: str, secret_key: str, now: float) -> bool:
    """Tell whether an Authorization header carries the token or a valid, unexpired JWT (HS256)."""
    scheme, _, given = authorization.partition(" ")
    if scheme.lower() != "bearer" or not given:
        return False
    if hmac.compare_digest(given.encode(), api_token.encode()):
        return True
    return bool(claims(given, secret_key, now))


def sign(payload: dict[str, Any], secret_key: str) -> str:
    """Return a JWT (RFC 7519) with HMAC SHA-256 over this payload."""
    head = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    signed = f"{head}.{_encode(json.dumps(payload).encode())}"
    return f"{signed}.{_encode(_mac(signed, secret_key))}"


def claims(token: str, secret_key: str, now: float) -> dict[str, Any]:
    """Return what a JWT says when it is HS256, signed with this key and not expired; else nothing.

    A token without an expiry time is not accepted.
    """
    try:
        signed, _, signature = token.rpartition(".")
        head, payload = (json.loads(_decode(part)) for part in signed.split("."))
        genuine = hmac.compare_digest(_decode(signature), _mac(signed, secret_key))
        if genuine and head["alg"] == "HS256" and float(payload["exp"]) > now:
            return dict(payload)
    except (ValueError, KeyError, TypeError):
        pass
    return {}


def _mac(text: str, key: str) -> bytes:
    return hmac.new(key.encode(), text.encode(), hashlib.sha256).digest()


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

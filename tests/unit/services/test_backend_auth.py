"""Who may change things."""

import base64
import json

import pytest
from backend_agi.auth import allowed, claims, sign

TOKEN, KEY, NOW = "the-token", "the-key", 1000.0


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("Bearer the-token", True),
        ("bearer the-token", True),
        ("Bearer the-tokens", False),
        ("Bearer ", False),
        ("Bearer", False),
        ("", False),
        ("the-token", False),
        ("Basic the-token", False),
        ("Bearer ünïcode", False),
        ("Bearer a.b.c", False),
        ("Bearer e30.e30.e30", False),
    ],
)
def test_bearer_token(header: str, accepted: bool) -> None:
    """Only the token itself, after the scheme, is accepted; nothing else raises."""
    assert allowed(header, TOKEN, KEY, NOW) is accepted


def test_signed_token_holds_until_it_expires() -> None:
    """A JWT of ours is accepted before its time and refused from then on."""
    token = sign({"sub": "api", "exp": 1010}, KEY)
    assert allowed(f"Bearer {token}", TOKEN, KEY, NOW)
    assert not allowed(f"Bearer {token}", TOKEN, KEY, 1010)


def test_foreign_key_missing_expiry_and_no_algorithm_are_refused() -> None:
    """The known ways around a signature do not work."""
    assert not claims(sign({"exp": 1010}, "other"), KEY, NOW)
    assert not claims(sign({"sub": "api"}, KEY), KEY, NOW)
    head = base64.urlsafe_b64encode(json.dumps({"alg": "none"}).encode()).rstrip(b"=").decode()
    payload = sign({"exp": 1010}, KEY).split(".")[1]
    assert not claims(f"{head}.{payload}.", KEY, NOW)
    assert not claims(f"{head}.{payload}.{sign({'exp': 1010}, KEY).split('.')[2]}", KEY, NOW)

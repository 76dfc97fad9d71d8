"""How people name backup targets, and which settings belong to them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from blocks.targets.directory import DirectoryTarget
from blocks.targets.s3 import S3Target
from blocks.targets.settings import target_from
from compose.stack.errors import Refused

CANARY = "canary-of-the-secret"
KEYS = {"OPS_S3_ACCESS_KEY": "general", "OPS_S3_SECRET_KEY": CANARY}


def s3(text: str, environment: dict[str, str], stored: dict[str, str] | None = None) -> S3Target:
    target = target_from(text, environment, stored or {})
    assert isinstance(target, S3Target)
    return target


@pytest.mark.parametrize(
    ("text", "path", "name"),
    [
        ("/srv/my backups", "/srv/my backups", "/srv/my backups"),
        ("file:///srv/my%20backups", "/srv/my backups", "/srv/my backups"),
        ("disk=/srv/a=b", "/srv/a=b", "disk"),
        ("disk-2=file:///srv", "/srv", "disk-2"),
    ],
)
def test_directories(text: str, path: str, name: str) -> None:
    """By their path or as a URL, with a name or without."""
    target = target_from(text, {}, {})
    assert isinstance(target, DirectoryTarget)
    assert (target.root, target.name) == (Path(path), name)


@pytest.mark.parametrize(
    "text", ["", "relative", "./x", "file://host/x", "file:///x?y", "ftp://x", "Big=/x", "a=", "/a\nb", "s4://b"]
)
def test_what_is_no_target(text: str) -> None:
    """Is refused, with what would be one."""
    with pytest.raises(Refused, match="one of: /a/directory"):
        target_from(text, KEYS, {})


def test_a_bucket() -> None:
    """Its settings come from the environment, then from the stack's own; the region has a default."""
    stored = {"OPS_S3_ENDPOINT": "http://stored:9000", "OPS_S3_REGION": "eu-1"}
    target = s3("s3://bucket/a/b/", KEYS, stored)
    assert target.name == "s3://bucket/a/b"
    assert (target._api.bucket, target._api.endpoint, target._api.region) == (
        "bucket",
        "http://stored:9000",
        "eu-1",
    )
    assert target._api.credentials.key == "general"
    assert s3("s3://bucket", KEYS)._api.region == "us-east-1"
    assert s3("s3://bucket", {**KEYS, "OPS_S3_ENDPOINT": "https://here"}, stored)._api.endpoint == "https://here"


def test_a_named_bucket_reads_its_own_settings_first() -> None:
    """Keys as pairs: never an id from one place with the secret of another."""
    named = {"OPS_OFF_SITE_S3_ACCESS_KEY": "named", "OPS_OFF_SITE_S3_SECRET_KEY": "n", "OPS_S3_REGION": "r"}
    target = s3("off-site=s3://bucket", {**KEYS, **named})
    assert (target.name, target._api.credentials.key, target._api.region) == ("off-site", "named", "r")
    del named["OPS_OFF_SITE_S3_SECRET_KEY"]
    with pytest.raises(Refused, match="OPS_OFF_SITE_S3_SECRET_KEY is missing"):
        target_from("off-site=s3://bucket", {**KEYS, **named}, {})
    assert s3("other=s3://bucket", {**KEYS, **named})._api.credentials.key == "general"


def test_whoever_deletes_may_be_somebody_else() -> None:
    """With credentials of their own."""
    extra = {"OPS_S3_DELETE_ACCESS_KEY": "deleter", "OPS_S3_DELETE_SECRET_KEY": "d"}
    deleter = s3("s3://bucket", {**KEYS, **extra})._api.deleter
    assert deleter is not None
    assert deleter.key == "deleter"
    assert s3("s3://bucket", KEYS)._api.deleter is None


def test_every_problem_is_told_at_once() -> None:
    """And no secret with it."""
    wrong = {"OPS_S3_ENDPOINT": f"http://user:{CANARY}@host", "OPS_S3_SECRET_KEY": CANARY}
    with pytest.raises(Refused) as caught:
        target_from("s3://b/../x", wrong, {})
    told = str(caught.value)
    for problem in (
        "is no bucket's name",
        "is no prefix",
        "the endpoint is no URL",
        "OPS_S3_ACCESS_KEY is missing",
    ):
        assert problem in told
    assert CANARY not in told


def test_no_credentials() -> None:
    """They are named by the variables that are missing; the surroundings' own are not used."""
    with pytest.raises(Refused, match="OPS_S3_ACCESS_KEY and OPS_S3_SECRET_KEY are not set"):
        target_from("s3://bucket", {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}, {})


def test_secrets_are_not_shown() -> None:
    """Neither by a target nor by what it is made of."""
    target = s3("s3://bucket", KEYS)
    for shown in (target, target._api, target._api.credentials, vars(target)):
        assert CANARY not in repr(shown) + str(shown)


def test_the_block() -> None:
    """Gives the same target, and shows no secret."""
    from blocks.targets.block import S3TargetBlock

    block = S3TargetBlock(
        bucket="bucket", prefix="/a/", endpoint="http://here", access_key="k", secret_key=CANARY,
        delete_access_key="d", delete_secret_key=CANARY,
    )  # fmt: skip
    target = block.target("named")
    assert (target.name, target._api.endpoint, target._prefix) == ("named", "http://here", "a/")
    assert target._api.deleter is not None
    assert CANARY not in repr(block) + str(block)
    with pytest.raises(Refused):
        S3TargetBlock(bucket="b", access_key="k", secret_key="s").target()


def test_targets_cost_nothing_until_they_are_used() -> None:
    """Neither Prefect nor boto3 is imported with them."""
    code = (
        "import sys; from blocks.targets.settings import target_from; "
        "target_from('s3://bucket', {'OPS_S3_ACCESS_KEY': 'a', 'OPS_S3_SECRET_KEY': 'b'}, {}); "
        "print([name for name in ('prefect', 'boto3', 'botocore') if name in sys.modules])"
    )
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_bucket_of_another_server_is_another_place() -> None:
    """Two servers may each have a bucket of one name."""
    one, other = (s3("s3://bucket/p", KEYS | {"OPS_S3_ENDPOINT": f"http://127.0.0.1:{port}"}) for port in (1, 2))
    assert one.place == other.place
    assert one.origin != other.origin

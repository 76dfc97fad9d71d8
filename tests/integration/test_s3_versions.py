"""Buckets that keep every version, or let nothing go for a while: saved, read and listed as in any other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from blocks.targets.s3 import S3Target
from tests.s3_servers import S3Server, moto_server, target_at

pytestmark = pytest.mark.servers

KEPT, LOCKED = "t-versioned", "t-locked"
RULE = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 30}}}
BIG = bytes(range(256)) * 4096 * 24


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with moto_server() as server:
        client = server.client()
        client.create_bucket(Bucket=KEPT)
        client.put_bucket_versioning(Bucket=KEPT, VersioningConfiguration={"Status": "Enabled"})
        client.create_bucket(Bucket=LOCKED, ObjectLockEnabledForBucket=True)
        client.put_object_lock_configuration(Bucket=LOCKED, ObjectLockConfiguration=RULE)
        yield server


def versions(client: Any, bucket: str, key: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.list_object_versions(Bucket=bucket, Prefix=key).get("Versions", [])
    return found


def saved(target: S3Target, place: Path) -> None:
    """A stream, a small object twice, and a file of several parts."""
    target.check()
    upload = target.begin("b/stream")
    upload.write(b"streamed")
    upload.commit()
    upload.abort()
    for data in (b"first", b"second"):
        target.put("b/small", data)
    place.write_bytes(BIG)
    target.put_file("b/file", place, hashlib.sha256(BIG).hexdigest())


@pytest.mark.parametrize("bucket", [KEPT, LOCKED])
def test_what_is_saved_is_read_and_listed(server: S3Server, bucket: str, tmp_path: Path) -> None:
    """The newest version is what there is; nothing half-uploaded stays."""
    target = target_at(server.endpoint, bucket=bucket)
    saved(target, tmp_path / "file")
    assert {entry.key: entry.size for entry in target.list("b/")} == {
        "b/file": len(BIG), "b/small": 6, "b/stream": 8
    }  # fmt: skip
    assert b"".join(target.read("b/small")) == b"second"
    assert b"".join(target.read("b/file", 10, 300)) == BIG[10:310]
    assert len(versions(server.client(), bucket, "b/small")) == 2
    assert target.sweep_uploads(datetime.now(UTC) + timedelta(hours=1)) == []


@pytest.mark.parametrize("bucket", [KEPT, LOCKED])
def test_what_was_let_go_is_not_listed_and_its_versions_stay(
    server: S3Server, bucket: str, tmp_path: Path
) -> None:
    """Removal leaves a marker; how long the version lives is the bucket's own rule."""
    target = target_at(server.endpoint, bucket=bucket)
    saved(target, tmp_path / "file")
    before = len(versions(server.client(), bucket, "b/small"))
    target.delete("b/small")
    assert "b/small" not in {entry.key for entry in target.list("b/")}
    assert target.size("b/small") is None
    assert len(versions(server.client(), bucket, "b/small")) == before

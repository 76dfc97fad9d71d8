"""Which calls an S3 target makes, and what is in them: whatever server understands these can keep backups."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from compose.stack.errors import Failed
from tests.s3_proxy import FORWARD, RESET, Call, Proxy, proxy_before
from tests.s3_servers import ACCESS, BUCKET, SECRET, moto_server, rclone_server, target_at

pytestmark = pytest.mark.servers

MIB = 1024**2
ALLOWED = {
    "PutObject", "GetObject", "HeadObject", "ListObjectsV2", "DeleteObject", "CreateMultipartUpload", "UploadPart",
    "CompleteMultipartUpload", "AbortMultipartUpload", "ListMultipartUploads", "ListParts",
}  # fmt: skip
HEADERS = {
    "host", "accept-encoding", "user-agent", "content-length", "content-md5", "content-type", "expect", "range",
    "authorization", "x-amz-content-sha256", "x-amz-date", "amz-sdk-invocation-id", "amz-sdk-request",
}  # fmt: skip


@pytest.fixture(params=["rclone", "moto"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxy]:
    with (
        rclone_server(tmp_path / "rclone") if request.param == "rclone" else moto_server() as server,
        proxy_before(server.port) as proxy,
    ):
        yield proxy


@pytest.fixture
def life(proxy: Proxy, tmp_path: Path) -> list[Call]:
    """Everything that a target can do, written down."""
    target = target_at(proxy.endpoint, "some where/é")
    target.check()
    target.skew()
    target.put("small", b"small")
    target.put("empty", b"")
    for size in (0, 5, 20 * MIB):
        upload = target.begin("stream")
        upload.write(bytes(size))
        upload.commit()
    for size in (5, 20 * MIB):
        upload = target.begin("aborted")
        upload.write(bytes(size))
        upload.abort()
    file = tmp_path / "file"
    file.write_bytes(b"\1" * 20 * MIB)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    proxy.fault = lambda call: RESET if call.part == 3 else FORWARD
    with pytest.raises(Failed):
        target.put_file("file", file, sha256)
    proxy.fault = lambda _: FORWARD
    target.put_file("file", file, sha256)
    target.put_file("small file", _with(tmp_path / "small", b"x"), hashlib.sha256(b"x").hexdigest())
    assert sum(len(chunk) for chunk in target.read("stream")) == 20 * MIB
    list(target.read("stream", 5, 7))
    list(target.read("empty"))
    assert [entry.key for entry in target.list("")] == ["empty", "file", "small", "small file", "stream"]
    target.begin("left").write(bytes(20 * MIB))
    target.sweep_uploads(datetime.now(UTC) + timedelta(hours=1))
    target.size("gone")
    target.delete("small")
    target.delete("gone")
    return list(proxy.calls)


def test_calls(life: list[Call]) -> None:
    """These eleven and no others, each made; one object per deletion."""
    assert {call.operation for call in life} == ALLOWED
    _every_body_is_sealed(life)
    _headers_are_plain(life)
    _reads_name_their_range(life)
    _no_secret_leaves(life)


def _every_body_is_sealed(life: list[Call]) -> None:
    """Content-MD5 on every body, and it fits."""
    with_body = [call for call in life if call.bytes]
    assert {call.operation for call in with_body} == {"PutObject", "UploadPart", "CompleteMultipartUpload"}
    assert all(call.seal for call in with_body)
    assert all("content-md5" in call.headers for call in life if call.operation == "PutObject")


def _headers_are_plain(life: list[Call]) -> None:
    """No checksums of newer kinds, no conditions, no copies, no metadata, no streaming signature."""
    assert {name for call in life for name in call.headers} <= HEADERS
    assert not any("STREAMING" in call.headers["x-amz-content-sha256"] for call in life)
    known = {"list-type", "prefix", "max-keys", "encoding-type", "continuation-token", "uploads", "uploadId",
             "partNumber", "x-id", "start-after"}  # fmt: skip
    assert {name for call in life for name in call.query} <= known


def _reads_name_their_range(life: list[Call]) -> None:
    """So that a body that was cut can be asked for again from there."""
    assert all(
        call.headers.get("range", "").startswith("bytes=") for call in life if call.operation == "GetObject"
    )


def _no_secret_leaves(life: list[Call]) -> None:
    """The requests are signed with it; the bucket is in the path, for servers without names of buckets."""
    assert not any(SECRET in value for call in life for value in call.headers.values())
    assert all(f"Credential={ACCESS}/" in call.headers["authorization"] for call in life)
    assert all(call.headers["host"].startswith("127.0.0.1:") for call in life)
    assert BUCKET


def _with(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path

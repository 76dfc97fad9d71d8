"""S3 servers that break: nothing is lost without a word, nothing stays half-uploaded, nothing waits for ever."""

from __future__ import annotations

import hashlib
import random
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from blocks.targets.fanout import FanOut
from blocks.targets.memory import Budget
from blocks.targets.s3 import S3Target
from blocks.targets.s3_client import Patience
from compose.stack.errors import Failed, OpsError, Refused
from tests.addresses import free_port
from tests.fakes.memory_target import MemoryTarget
from tests.s3_proxy import BREAK, CANNOT, CUT, DENY, FORWARD, LOSE, RESET, Call, Proxy, proxy_before
from tests.s3_servers import SECRET, S3Server, moto_server, rclone_server, target_at
from tests.small_disk import small_disk

pytestmark = pytest.mark.servers

MIB = 1024**2
HASTY = Patience(connect=1, answer=0.5, attempts=2)


@pytest.fixture(scope="module", params=["rclone", "moto"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    directory = tmp_path_factory.mktemp("rclone")
    with rclone_server(directory) if request.param == "rclone" else moto_server() as server:
        yield server


@pytest.fixture
def server(running: S3Server) -> Iterator[S3Server]:
    """An empty bucket, whatever the test before left."""
    yield running
    target = running.target()
    for entry in list(target.list("")):
        target.delete(entry.key)
    target.sweep_uploads(datetime.now(UTC) + timedelta(hours=1))


@pytest.fixture
def proxy(server: S3Server) -> Iterator[Proxy]:
    with proxy_before(server.port) as proxy:
        yield proxy


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def save(target: Any, key: str, data: bytes) -> None:
    """A stream as callers write it."""
    upload = target.begin(key)
    try:
        for at in range(0, len(data), MIB):
            upload.write(data[at : at + MIB])
        upload.commit()
    finally:
        upload.abort()


def whole(target: S3Target, key: str) -> bytes:
    return b"".join(target.read(key))


def nothing_pending(target: S3Target) -> bool:
    return not target._api.pending("") and target._budget.held == 0


class Once:
    """A fault that meets each call of an operation some number of times."""

    def __init__(self, fault: str, operation: str, times: int = 1) -> None:
        self.fault, self.operation, self.times = fault, operation, times
        self.met: dict[tuple[str, int, str], int] = {}

    def __call__(self, call: Call) -> str:
        """What happens to this call."""
        which = (call.key, call.part, call.query.get("uploadId", [""])[0])
        if call.operation != self.operation or self.met.get(which, 0) >= self.times:
            return FORWARD
        self.met[which] = self.met.get(which, 0) + 1
        return self.fault


@pytest.mark.parametrize("fault", [BREAK, RESET, LOSE])
@pytest.mark.parametrize(
    "operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "HeadObject", "PutObject"]
)
def test_a_call_that_fails_once_is_made_again(proxy: Proxy, fault: str, operation: str) -> None:
    """Also when only the answer was lost, and the server finds what it has done already."""
    target = target_at(proxy.endpoint)
    proxy.fault = Once(fault, operation)
    data = noise(1000 if operation == "PutObject" else 20 * MIB)
    save(target, "x", data)
    assert proxy.fault.met
    assert whole(target, "x") == data
    assert target._budget.held == 0
    lost_create = fault == LOSE and operation == "CreateMultipartUpload"  # the upload that nobody heard of
    target.sweep_uploads(datetime.now(UTC) + timedelta(hours=1)) if lost_create else None
    assert nothing_pending(target)


@pytest.mark.parametrize("fault", [BREAK, RESET, DENY])
@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
def test_a_server_that_keeps_failing(proxy: Proxy, fault: str, operation: str) -> None:
    """Fails the upload, which leaves nothing; another target of the same stream is complete."""
    target, other = target_at(proxy.endpoint, patience=Patience(2, 5, 2)), MemoryTarget()
    proxy.fault = lambda call: fault if call.operation == operation else FORWARD
    fan = FanOut({"s3": target.begin("x"), "other": other.begin("x")})
    data = noise(30 * MIB)
    for at in range(0, len(data), MIB):
        fan.write(data[at : at + MIB])
    result = fan.commit()
    assert isinstance(result["s3"], Failed)
    assert result["other"] is None
    assert b"".join(other.read("x")) == data
    proxy.fault = lambda _: FORWARD
    assert target.size("x") is None
    assert nothing_pending(target)


def test_a_body_that_is_cut_is_asked_for_again(proxy: Proxy) -> None:
    """From where it ended; the bytes are right."""
    target = target_at(proxy.endpoint)
    data = noise(5 * MIB)
    target.put("x", data)
    proxy.fault = CutTwice()
    assert whole(target, "x") == data
    starts = (0, 5 * MIB // 2, 15 * MIB // 4)
    asked = [call.headers["range"] for call in proxy.operations("GetObject")]
    assert asked == [f"bytes={start}-{len(data) - 1}" for start in starts]


class CutTwice:
    """Cuts the first two bodies in half."""

    def __init__(self) -> None:
        self.left = 2

    def __call__(self, call: Call) -> str:
        """What happens to this call."""
        if call.operation != "GetObject" or not self.left:
            return FORWARD
        self.left -= 1
        return CUT


def test_a_body_that_is_always_cut_fails(proxy: Proxy) -> None:
    """It is never taken for the end."""
    target = target_at(proxy.endpoint)
    target.put("x", noise(100_000))
    proxy.fault = lambda call: CUT if call.operation == "GetObject" else FORWARD
    with pytest.raises(Failed, match="cut short at byte"):
        whole(target, "x")


def test_an_object_that_goes_away_while_it_is_read(proxy: Proxy) -> None:
    """Or becomes another one."""
    target = target_at(proxy.endpoint)
    target.put("x", noise(3 * MIB))
    proxy.fault = CutTwice()
    for change in (lambda: target.delete("x"), lambda: target.put("x", b"other")):
        proxy.fault.left = 1
        chunks = target.read("x")
        next(chunks)
        change()
        with pytest.raises(Failed):
            list(chunks)
        target.put("x", noise(3 * MIB))


def test_a_slow_server(proxy: Proxy) -> None:
    """Is waited for within limits, beyond which it fails; and abort does not wait for it."""
    proxy.pause = 0.2
    target = target_at(proxy.endpoint, patience=Patience(connect=5, answer=3, attempts=2))
    save(target, "x", noise(20 * MIB))
    proxy.pause = 8
    began = time.monotonic()
    with pytest.raises(Failed, match="no answer"):
        save(target, "y", noise(20 * MIB))
    assert time.monotonic() - began < 60
    proxy.pause = 0
    patient = target_at(proxy.endpoint)
    assert patient.size("x") == 20 * MIB
    assert patient.size("y") is None


@pytest.mark.parametrize("kind", [rclone_server, moto_server])
def test_a_server_that_dies_in_mid_stream(kind: Callable[..., Any], tmp_path: Path) -> None:
    """Fails the stream soon, abort says nothing, no memory stays taken, and its threads end."""
    with kind(*((tmp_path / "r",) if kind is rclone_server else ())) as server:
        target = server.target(patience=Patience(1, 2, 2))
        upload = target.begin("x")
        upload.write(noise(20 * MIB))
        server.kill()
        began = time.monotonic()
        with pytest.raises(Failed, match="no answer"):
            _endless(upload.write)
        upload.abort()
        assert time.monotonic() - began < 15
        assert target._budget.held == 0


def _endless(write: Callable[[bytes], None]) -> None:
    for _ in range(100):
        write(bytes(MIB))


def test_a_server_that_is_not_there() -> None:
    """Is refused when it is checked, and fails otherwise."""
    target = target_at(f"http://127.0.0.1:{free_port()}", patience=HASTY)
    with pytest.raises(Refused, match="no answer"):
        target.check()
    with pytest.raises(Failed):
        target.put("x", b"x")
    with pytest.raises(Failed):
        list(target.list(""))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"access_key": "nobody"}, "the access key is not known there"),
        ({"secret_key": SecretStr("canary-of-a-wrong-secret")}, "the secret key does not fit"),
        ({"bucket": "t-nowhere"}, "there is no such bucket"),
    ],
)
def test_wrong_settings(tmp_path: Path, options: dict[str, Any], told: str) -> None:
    """Are refused in words when the target is checked; the secret is in no error, however deep."""
    with rclone_server(tmp_path / "r") as server:
        target = server.target(**options)
        for call, kind in (
            (target.check, Refused),
            (lambda: target.put("x", b"x"), Failed),
            (lambda: list(target.list("")), Failed),
            (lambda: target.sweep_uploads(datetime.now(UTC)), Failed),
            (lambda: save(target, "x", noise(20 * MIB)), Failed),
        ):
            with pytest.raises(kind, match=told) as caught:
                call()
            shown = "".join(traceback.format_exception(caught.value))
            assert "canary-of-a-wrong-secret" not in shown
            assert SECRET not in shown


def _denied_to(*keys: str, operations: tuple[str, ...] = ("DeleteObject",)) -> Callable[[Call], str]:
    def decide(call: Call) -> str:
        asks = call.headers["authorization"].split("Credential=")[1].split("/")[0]
        return DENY if call.operation in operations and asks in keys else FORWARD

    return decide


def test_credentials_that_cannot_delete(proxy: Proxy) -> None:
    """Save, list and read all the same; deleting is refused by name, and done by those who can."""
    proxy.fault = _denied_to("tests-access")
    target = target_at(proxy.endpoint, "p")
    target.check()
    save(target, "x", b"data")
    with pytest.raises(Refused, match=r"p/x: the credentials cannot delete Next: OPS_S3_DELETE_ACCESS_KEY"):
        target.delete("x")
    assert whole(target, "x") == b"data"


def test_whoever_deletes_may_be_somebody_else() -> None:
    """With credentials that are used for nothing else."""
    with moto_server() as server, proxy_before(server.port) as proxy:
        proxy.fault = _denied_to("tests-access")
        target = target_at(proxy.endpoint, delete_access_key="deleter", delete_secret_key=SecretStr("d"))
        target.put("x", b"data")
        target.delete("x")
        assert target.size("x") is None
        asked = {c.operation for c in proxy.calls if "Credential=deleter/" in c.headers["authorization"]}
        assert asked == {"DeleteObject"}


def test_credentials_that_cannot_write(proxy: Proxy) -> None:
    """Are refused when the target is checked."""
    proxy.fault = _denied_to("tests-access", operations=("PutObject", "CreateMultipartUpload"))
    with pytest.raises(Refused, match="the credentials may not write"):
        target_at(proxy.endpoint).check()


def _file(path: Path, data: bytes) -> tuple[Path, str]:
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest()


def test_a_file_goes_on_where_it_stopped(proxy: Proxy, tmp_path: Path) -> None:
    """Parts that arrived are not sent again; what was resumed is read back."""
    target = target_at(proxy.endpoint, patience=Patience(2, 5, 2))
    file, sha256 = _file(tmp_path / "file", noise(60 * MIB))
    proxy.fault = lambda call: RESET if call.part >= 5 else FORWARD
    with pytest.raises(Failed):
        target.put_file("pool/x", file, sha256)
    assert list(target.list("")) == []
    proxy.fault = lambda _: FORWARD
    proxy.calls.clear()
    target.put_file("pool/x", file, sha256)
    assert sorted(call.part for call in proxy.operations("UploadPart")) == [5, 6, 7, 8]
    assert proxy.operations("CreateMultipartUpload") == []
    assert proxy.operations("GetObject")
    assert whole(target, "pool/x") == file.read_bytes()
    assert nothing_pending(target)


def test_what_another_file_left_is_noticed(proxy: Proxy, tmp_path: Path) -> None:
    """Parts of the same size prove nothing: the object is read back, and sent from its beginning."""
    target = target_at(proxy.endpoint, patience=Patience(2, 5, 2))
    proxy.fault = lambda call: RESET if call.part >= 3 else FORWARD
    with pytest.raises(Failed):
        target.put_file("pool/x", *_file(tmp_path / "a", noise(30 * MIB, 1)))
    proxy.fault = lambda _: FORWARD
    target.put_file("pool/x", *_file(tmp_path / "b", noise(30 * MIB, 2)))
    assert whole(target, "pool/x") == noise(30 * MIB, 2)
    assert nothing_pending(target)


def test_a_file_of_another_size_starts_anew(proxy: Proxy, tmp_path: Path) -> None:
    """What the earlier one left stays for the sweep: somebody may still be sending it."""
    target = target_at(proxy.endpoint, patience=Patience(2, 5, 2))
    proxy.fault = lambda call: RESET if call.part == 4 else FORWARD
    with pytest.raises(Failed):
        target.put_file("pool/x", *_file(tmp_path / "a", noise(30 * MIB, 1)))
    target.put_file("pool/x", *_file(tmp_path / "b", noise(20 * MIB, 2)))
    assert whole(target, "pool/x") == noise(20 * MIB, 2)
    assert target.sweep_uploads(datetime.now(UTC) + timedelta(hours=1)) == ["pool/x"]


def test_a_server_that_forgot_the_upload(tmp_path: Path) -> None:
    """rclone's, when it was started again: the file is sent from its beginning."""
    port = free_port()
    file, sha256 = _file(tmp_path / "file", noise(30 * MIB))
    with rclone_server(tmp_path / "r", port) as server, proxy_before(port) as proxy:
        target = target_at(proxy.endpoint, patience=Patience(2, 5, 2))
        proxy.fault = lambda call: RESET if call.part >= 3 else FORWARD
        with pytest.raises(Failed):
            target.put_file("x", file, sha256)
        server.kill()
        proxy.fault = lambda _: FORWARD
        with rclone_server(tmp_path / "r", port):
            assert target.sweep_uploads(datetime.now(UTC)) == []
            target.put_file("x", file, sha256)
            assert whole(target, "x") == file.read_bytes()
            assert [entry.key for entry in target.list("")] == ["x"]


def test_a_server_that_takes_no_part_again(proxy: Proxy, tmp_path: Path) -> None:
    """The file starts again by itself; a stream fails, so that its caller starts it again."""
    target = target_at(proxy.endpoint, patience=Patience(2, 5, 2))
    file, sha256 = _file(tmp_path / "file", noise(30 * MIB))
    proxy.fault = lambda call: RESET if call.part == 3 else FORWARD
    with pytest.raises(Failed):
        target.put_file("x", file, sha256)
    first = proxy.operations("UploadPart")[0].query["uploadId"]
    proxy.fault = lambda call: CANNOT if call.part and call.query["uploadId"] == first else FORWARD
    target.put_file("x", file, sha256)
    assert whole(target, "x") == file.read_bytes()
    assert nothing_pending(target)
    proxy.fault = lambda call: CANNOT if call.part else FORWARD
    with pytest.raises(OpsError, match="NotImplemented"):
        save(target, "y", noise(20 * MIB))
    proxy.fault = lambda _: FORWARD
    assert nothing_pending(target)


def test_skew_is_told_by_the_servers_clock(server: S3Server) -> None:
    """Ten minutes are noticed, also where the server refuses because of them."""
    for minutes in (-10, 10):
        late = server.target(now=lambda minutes=minutes: datetime.now(UTC) - timedelta(minutes=minutes))
        late.check()  # the first call makes the client too
        assert abs(late.skew() - minutes * 60) < 10


def test_parts_without_room_in_memory_wait_in_files(server: S3Server, tmp_path: Path) -> None:
    """Where the budget is smaller than a part; nothing stays of them."""
    spool = tmp_path / "spool"
    spool.mkdir()
    target = server.target(budget=Budget(MIB), spool=spool)
    save(target, "x", noise(30 * MIB))
    assert whole(target, "x") == noise(30 * MIB)
    assert list(spool.iterdir()) == []


def test_no_room_for_parts_that_wait(server: S3Server, tmp_path: Path) -> None:
    """Fails the stream with what to do, and leaves nothing on either side."""
    with small_disk(tmp_path / "spool", "12m") as spool:
        target = server.target(budget=Budget(MIB), spool=spool)
        upload = target.begin("x")
        with pytest.raises(Failed, match="spool: a part that waits to be sent cannot be kept: No space left"):
            _endless(upload.write)
        upload.abort()
        assert nothing_pending(target)
        assert list(spool.iterdir()) == []


def test_many_streams_with_little_memory_do_not_wait_for_each_other(server: S3Server, tmp_path: Path) -> None:
    """Eight streams to two targets each with memory for two parts: all arrive, under the budget."""
    budget = Budget(16 * MIB)
    targets = {name: server.target(name, budget=budget, spool=tmp_path) for name in ("a", "b")}
    results: dict[int, Any] = {}

    def stream(number: int) -> None:
        fan = FanOut({name: target.begin(f"s{number}") for name, target in targets.items()})
        for at in range(10):
            fan.write(noise(MIB, number * 100 + at))
        results[number] = fan.commit()

    threads = [threading.Thread(target=stream, args=(number,), daemon=True) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {number: {"a": None, "b": None} for number in range(8)}
    assert budget.held == budget.on_their_way == 0
    for number in range(8):
        expected = b"".join(noise(MIB, number * 100 + at) for at in range(10))
        assert whole(targets["b"], f"s{number}") == expected

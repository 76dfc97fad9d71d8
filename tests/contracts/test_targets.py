"""What every backup target does: a directory, two S3 servers, and the fake in memory alike."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.targets.base import Target, Upload
from blocks.targets.directory import DirectoryTarget
from compose.stack.errors import Failed, Refused
from tests.fakes.memory_target import MemoryTarget
from tests.s3_servers import S3Server, moto_server, rclone_server

pytestmark = pytest.mark.servers

MIB = 1024**2
_numbers = itertools.count()


@dataclass
class Place:
    """A target with nothing in it, and how to see what lies behind it."""

    target: Target
    leftovers: Callable[[], list[str]]


@pytest.fixture(scope="module")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with rclone_server(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(scope="module")
def moto() -> Iterator[S3Server]:
    with moto_server() as server:
        yield server


@pytest.fixture(params=["memory", "directory", "rclone", "moto"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of target in turn."""
    if request.param == "memory":
        memory = MemoryTarget()
        return Place(memory, lambda: [*memory.objects, *(upload.key for upload in memory.uploads)])
    if request.param == "directory":
        root = tmp_path / "target"
        root.mkdir()
        return Place(DirectoryTarget(root), lambda: _files(root))
    server: S3Server = request.getfixturevalue(request.param)
    prefix = f"test {next(_numbers)}/é"
    target = server.target(prefix)
    pending = target._api.pending

    def leftovers() -> list[str]:
        on_disk = _files(server.directory / "t-backups" / prefix) if server.directory else []
        return [*on_disk, *(upload.key for upload in pending(f"{prefix}/")), *(e.key for e in target.list(""))]

    return Place(target, leftovers)


@pytest.fixture
def target(place: Place) -> Target:
    return place.target


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that nothing shortens, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def write(upload: Upload, data: bytes, chunk: int = 300_000) -> None:
    for at in range(0, len(data), chunk):
        upload.write(memoryview(data)[at : at + chunk])


def whole(target: Target, key: str) -> bytes:
    return b"".join(target.read(key))


def keys(target: Target, prefix: str = "") -> list[str]:
    return [entry.key for entry in target.list(prefix)]


@pytest.mark.parametrize("size", [0, 1, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB])
def test_a_stream_comes_back_as_it_was(target: Target, size: int) -> None:
    """Whatever its length, before and after the borders of parts."""
    data = noise(size)
    before = datetime.now(UTC) - timedelta(seconds=2)
    upload = target.begin("a/stream.zst")
    write(upload, data)
    upload.commit()
    assert whole(target, "a/stream.zst") == data
    assert target.size("a/stream.zst") == size
    (entry,) = target.list("")
    assert (entry.key, entry.size) == ("a/stream.zst", size)
    assert before < entry.modified < datetime.now(UTC) + timedelta(seconds=2)


def test_nothing_is_visible_before_commit(target: Target) -> None:
    """Half an object is none."""
    upload = target.begin("a/x")
    write(upload, noise(17 * MIB))
    try:
        assert keys(target) == []
        assert target.size("a/x") is None
        with pytest.raises(Failed):
            whole(target, "a/x")
    finally:
        upload.abort()


@pytest.mark.parametrize("size", [0, 100, 8 * MIB, 30 * MIB])
def test_abort_leaves_nothing_behind(place: Place, size: int) -> None:
    """No partial file and no open upload, also when it is called twice; the upload takes no more then."""
    upload = place.target.begin("a/x")
    write(upload, noise(size))
    upload.abort()
    upload.abort()
    assert place.leftovers() == []
    with pytest.raises(Failed):
        upload.write(b"more")
    with pytest.raises(Failed):
        upload.commit()


def test_abort_after_commit_does_nothing(target: Target) -> None:
    """So that it may stand in a `finally`."""
    upload = target.begin("x")
    upload.write(b"data")
    upload.commit()
    upload.abort()
    assert whole(target, "x") == b"data"


def test_an_aborted_upload_spares_what_was_there(target: Target) -> None:
    """The object at the key changes with a commit only."""
    target.put("x", b"old")
    upload = target.begin("x")
    write(upload, noise(9 * MIB))
    assert whole(target, "x") == b"old"
    upload.abort()
    assert whole(target, "x") == b"old"


def test_put_replaces(target: Target) -> None:
    """Small objects, empty ones too."""
    for data in (b"one", b"", b"three"):
        target.put("records/r.json", data)
        assert whole(target, "records/r.json") == data


def test_stretches(target: Target) -> None:
    """Any stretch can be read, exactly, in chunks of at most 1 MiB."""
    data = noise(3 * MIB + 5)
    target.put("x", data)
    for start, length in ((0, None), (1, 1), (MIB, 2 * MIB), (len(data) - 1, None), (len(data), None), (7, 0)):
        chunks = list(target.read("x", start, length))
        end = len(data) if length is None else start + length
        assert b"".join(chunks) == data[start:end]
        assert all(0 < len(chunk) <= MIB for chunk in chunks)


@pytest.mark.parametrize(("start", "length"), [(0, 101), (100, 1), (101, None), (50, 51)])
def test_a_stretch_that_is_not_there_fails(target: Target, start: int, length: int | None) -> None:
    """Never fewer bytes than were asked for, without a word."""
    target.put("x", b"x" * 100)
    with pytest.raises(Failed):
        list(target.read("x", start, length))


def test_what_is_not_there(target: Target) -> None:
    """Has no size, cannot be read, can be deleted, and lists as nothing."""
    assert target.size("no/such") is None
    with pytest.raises(Failed):
        whole(target, "no/such")
    target.delete("no/such")
    assert keys(target, "no/") == []


def test_the_list_is_sorted_by_key(target: Target) -> None:
    """By whole keys: `a-1` before `a/1`, as strings sort; any beginning of a key selects."""
    names = ["b", "a/1", "a-1", "a.b", "aé ü+%&=?#", "a/sub/deep/er", "Z", "a0", "a b"]
    for name in names:
        target.put(name, name.encode())
    assert keys(target) == sorted(names)
    assert keys(target, "a/") == ["a/1", "a/sub/deep/er"]
    assert keys(target, "a/su") == ["a/sub/deep/er"]
    assert keys(target, "a") == sorted(name for name in names if name.startswith("a"))
    assert keys(target, "aé ü+%&") == ["aé ü+%&=?#"]
    assert keys(target, "../") == keys(target, "/") == []
    for name in names:
        assert whole(target, name) == name.encode()


def test_delete(target: Target) -> None:
    """What was deleted is gone, its neighbours stay, and the place can be used again."""
    for name in ("d/a", "d/b", "e/f/g"):
        target.put(name, b"x")
    target.delete("d/a")
    target.delete("e/f/g")
    assert keys(target) == ["d/b"]
    target.put("e/f/g", b"again")
    assert whole(target, "e/f/g") == b"again"


BAD_KEYS = ["", "/a", "a/", "a//b", "../a", "a/../b", ".", "a\nb", "a\\b", "a\0b"]
BAD_KEYS += ["x/" * 257 + "x", "y" * 201, "z.partial"]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_keys_that_lead_elsewhere_are_refused(target: Target, tmp_path: Path, key: str) -> None:
    """By every call, before anything is touched."""
    file = tmp_path / "file"
    file.write_bytes(b"x")
    for call in (
        lambda: target.begin(key),
        lambda: target.put(key, b""),
        lambda: target.put_file(key, file, hashlib.sha256(b"x").hexdigest()),
        lambda: target.read(key),
        lambda: target.size(key),
        lambda: target.delete(key),
    ):
        with pytest.raises(Refused):
            call()


@pytest.mark.parametrize("size", [0, 1000, 8 * MIB, 20 * MIB])
def test_a_file_arrives(place: Place, tmp_path: Path, size: int) -> None:
    """With the bytes it has, and nothing beside it."""
    data = noise(size)
    file = tmp_path / "file"
    file.write_bytes(data)
    place.target.put_file("pool/f", file, hashlib.sha256(data).hexdigest())
    assert whole(place.target, "pool/f") == data
    assert set(place.leftovers()) == {"pool/f"}


@pytest.mark.parametrize("size", [1000, 20 * MIB])
def test_a_file_that_is_another_is_not_kept(target: Target, tmp_path: Path, size: int) -> None:
    """The hash that it must have decides."""
    file = tmp_path / "file"
    file.write_bytes(noise(size))
    with pytest.raises(Failed, match="SHA-256"):
        target.put_file("pool/f", file, hashlib.sha256(b"other").hexdigest())
    assert keys(target) == []


def test_a_file_that_is_gone(target: Target, tmp_path: Path) -> None:
    """Is told by its name."""
    if isinstance(target, MemoryTarget):
        pytest.skip("the fake reads as Python does")
    with pytest.raises(Failed, match="cannot be read"):
        target.put_file("pool/f", tmp_path / "gone", "0" * 64)


def test_several_streams_at_once(target: Target) -> None:
    """A target is used by all components at the same time."""
    data = {f"s/{n}": noise(9 * MIB + n, n) for n in range(4)}

    def save(key: str) -> None:
        upload = target.begin(key)
        write(upload, data[key])
        upload.commit()

    threads = [threading.Thread(target=save, args=(key,)) for key in data]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key: whole(target, key) for key in keys(target)} == data


def test_two_uploads_of_one_key(target: Target) -> None:
    """Both arrive whole, and the last one stays."""
    first, second = target.begin("x"), target.begin("x")
    for upload, seed in ((first, 1), (second, 2)):
        write(upload, noise(9 * MIB, seed))
    first.commit()
    assert whole(target, "x") == noise(9 * MIB, 1)
    second.commit()
    assert whole(target, "x") == noise(9 * MIB, 2)


def test_the_sweep_takes_only_what_nobody_touches(place: Place) -> None:
    """Uploads of dead runs go, younger ones and whole objects stay."""
    target, now = place.target, datetime.now(UTC)
    upload = target.begin("a/x")
    write(upload, noise(25 * MIB))
    _let_go(upload)
    target.put("b", b"whole")
    assert target.sweep_uploads(now - timedelta(hours=1)) == []
    assert target.sweep_uploads(now + timedelta(hours=1)) == ["a/x"]
    assert set(place.leftovers()) == {"b"}
    upload.abort()


def _let_go(upload: Upload) -> None:
    """Leave an upload as a dead process would: nobody holds its file."""
    handle = getattr(upload, "_handle", None)
    if handle is not None:
        copy = os.open(f"/proc/self/fd/{handle}", os.O_RDWR)
        os.dup2(copy, handle)  # closes the locked description
        os.close(copy)


def test_clock_room_and_check(target: Target) -> None:
    """Its clock is this machine's, and checking it leaves nothing."""
    target.check()  # the first call makes the client too
    assert abs(target.skew()) < 10
    assert target.room() is None or target.room() > 0
    target.check()
    assert keys(target) == []
    assert target.name

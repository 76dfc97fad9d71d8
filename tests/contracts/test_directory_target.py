"""What a directory adds to the contract of targets: rights, links, full disks, dead processes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.targets.directory import DirectoryTarget
from blocks.targets.directory_upload import partial_name
from compose.stack.errors import Failed, Refused
from tests.prefect_lab import until
from tests.small_disk import small_disk

MIB = 1024**2
LATER = timedelta(hours=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "target"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture
def target(root: Path) -> DirectoryTarget:
    return DirectoryTarget(root)


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def file_with(path: Path, data: bytes) -> tuple[Path, str]:
    path.write_bytes(data)
    return path, hashlib.sha256(data).hexdigest()


def test_files_are_for_us_alone(root: Path, target: DirectoryTarget) -> None:
    """0600, in directories of 0700, whatever the umask says; also while they are written."""
    before = os.umask(0)
    try:
        upload = target.begin("a/b/c")
        upload.write(b"x")
        (partial,) = (root / "a/b").iterdir()
        assert stat.S_IMODE(partial.stat().st_mode) == 0o600
        upload.commit()
    finally:
        os.umask(before)
    assert stat.S_IMODE((root / "a/b/c").stat().st_mode) == 0o600
    assert {stat.S_IMODE((root / name).stat().st_mode) for name in ("a", "a/b")} == {0o700}


def test_links_are_not_followed(root: Path, target: DirectoryTarget, tmp_path: Path) -> None:
    """Neither those to files nor those to directories: nothing outside is read, listed, written or removed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (root / "link").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    assert list(target.list("")) == list(target.list("link/")) == list(target.list("link/s")) == []
    for call in (
        lambda: target.begin("link/new"),
        lambda: target.put("link/secret", b""),
        lambda: target.read("link/secret"),
        lambda: target.size("link/secret"),
        lambda: target.delete("link/secret"),
    ):
        with pytest.raises(Refused, match="symbolic link"):
            call()
    assert target.size("file") is None
    with pytest.raises(Failed, match="symbolic link"):
        list(target.read("file"))
    target.put("file", b"ours")
    target.delete("file")
    target.sweep_uploads(datetime.now(UTC) + LATER)
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"secret": "secret"}


def test_what_is_no_file_of_ours_is_not_listed(root: Path, target: DirectoryTarget) -> None:
    """Pipes, names with line ends, and files that are being written; reading a pipe does not hang."""
    os.mkfifo(root / "pipe")
    (root / "a\nb").write_text("x")
    upload = target.begin("x")
    assert list(target.list("")) == []
    with pytest.raises(Failed, match="no file"):
        list(target.read("pipe"))
    upload.abort()


def test_a_full_disk(tmp_path: Path) -> None:
    """Is told with what to do; nothing of the object stays, so that others have what room there is."""
    source, sha256 = file_with(tmp_path / "source", noise(6 * MIB))
    with small_disk(tmp_path / "small", "4m") as disk:
        target = DirectoryTarget(disk)
        upload = target.begin("a/x")
        with pytest.raises(Failed, match=r"a/x: no space is left Next: df -h"):
            upload.write(noise(6 * MIB))
        upload.abort()
        with pytest.raises(Failed, match="no space is left"):
            target.put("a/x", noise(6 * MIB))
        with pytest.raises(Failed, match="no space is left"):
            target.put_file("a/x", source, sha256)
        assert files(disk) == []
        target.put("a/x", noise(3 * MIB))
        room = target.room()
        assert room is not None
        assert room < 2 * MIB


def test_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    """Is refused when it is checked, and so is a directory that is not there."""
    with small_disk(tmp_path / "disk", "1m", "ro") as disk, pytest.raises(Refused, match="Read-only"):
        DirectoryTarget(disk).check()
    with pytest.raises(Refused, match=r"no such directory Next: mkdir -m 700"):
        DirectoryTarget(tmp_path / "gone").check()


def test_a_disk_that_is_not_mounted_is_no_empty_target(tmp_path: Path) -> None:
    """Nothing is made there, and no listing says that there are no backups."""
    target = DirectoryTarget(tmp_path / "gone")
    for call in (
        lambda: list(target.list("")),
        lambda: target.sweep_uploads(datetime.now(UTC)),
        lambda: target.put("x", b""),
        target.room,
    ):
        with pytest.raises(Failed):
            call()
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("left", [b"", noise(3 * MIB), noise(5 * MIB), noise(2 * MIB, 2), noise(9 * MIB, 3)])
def test_a_file_goes_on_where_it_stopped(root: Path, target: DirectoryTarget, tmp_path: Path, left: bytes) -> None:
    """With what a dead process left; where that is something else, from the beginning."""
    data = noise(5 * MIB)
    source, sha256 = file_with(tmp_path / "source", data)
    partial = partial_name(root / "pool/x", sha256[:16])
    partial.parent.mkdir()
    partial.write_bytes(left)
    target.put_file("pool/x", source, sha256)
    assert (root / "pool/x").read_bytes() == data
    assert files(root) == ["pool/x"]


@pytest.mark.parametrize("left", [b"", noise(3 * MIB), noise(5 * MIB), noise(2 * MIB, 2), noise(9 * MIB, 3)])
def test_a_file_that_gets_its_name_at_the_end(
    root: Path, target: DirectoryTarget, tmp_path: Path, left: bytes
) -> None:
    """Goes on with what a dead process left of it; nothing stays when its name is refused."""
    data, token = noise(5 * MIB), "ab" * 8
    source, sha256 = file_with(tmp_path / "source", data)
    partial = partial_name(root / "pool/coming", token)
    partial.parent.mkdir(parents=True)
    partial.write_bytes(left)
    assert target.take_file(source, "pool/coming", lambda found: f"pool/{found[:2]}/{found}", token) == sha256
    assert files(root) == [f"pool/{sha256[:2]}/{sha256}"]
    assert (root / f"pool/{sha256[:2]}/{sha256}").read_bytes() == data

    def refusing(found: str) -> str:
        raise Failed(f"{found} was changed")

    with pytest.raises(Failed, match="was changed"):
        target.take_file(source, "pool/coming", refusing, token)
    assert files(root) == [f"pool/{sha256[:2]}/{sha256}"]


def test_two_who_copy_the_same_file(root: Path, target: DirectoryTarget, tmp_path: Path) -> None:
    """Do not write into each other's copy."""
    source, sha256 = file_with(tmp_path / "source", noise(MIB))
    partial = partial_name(root / "x", sha256[:16])
    with partial.open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write(b"half")
        target.put_file("x", source, sha256)
    assert partial.read_bytes() == b"half"
    assert (root / "x").read_bytes() == noise(MIB)


def test_the_sweep_spares_what_somebody_writes(root: Path, target: DirectoryTarget) -> None:
    """However long it has been silent; what nobody holds goes."""
    upload = target.begin("a/x")
    assert target.sweep_uploads(datetime.now(UTC) + LATER) == []
    upload.write(b"still here")
    upload.commit()
    partial_name(root / "a/y").write_text("left")
    assert target.sweep_uploads(datetime.now(UTC) - LATER) == []
    assert target.sweep_uploads(datetime.now(UTC) + LATER) == ["a/y"]
    assert files(root) == ["a/x"]


def test_the_sweep_leaves_no_empty_directories(root: Path, target: DirectoryTarget) -> None:
    """Neither around a partial file, nor where a dead run had not begun one; others' and new ones stay."""
    partial = partial_name(root / "s/backups/dead/db/x")
    partial.parent.mkdir(parents=True)
    partial.write_text("left")
    (root / "s/backups/early/db").mkdir(parents=True)
    (root / "other/backups").mkdir(parents=True)
    assert target.sweep_uploads(datetime.now(UTC) - LATER, "s/backups/") == []
    assert (root / "s/backups/early/db").is_dir()
    assert target.sweep_uploads(datetime.now(UTC) + LATER, "s/backups/") == ["s/backups/dead/db/x"]
    assert sorted(path.name for path in root.rglob("*")) == ["backups", "other"]


def test_a_process_that_is_killed(root: Path, target: DirectoryTarget) -> None:
    """Leaves a partial file that no listing shows, and the sweep removes."""
    code = (
        "import sys; from pathlib import Path; from blocks.targets.directory import DirectoryTarget\n"
        "upload = DirectoryTarget(Path(sys.argv[1])).begin('a/x')\n"
        "while True: upload.write(bytes(1000))"
    )
    process = subprocess.Popen((sys.executable, "-c", code, str(root)))
    try:
        until(lambda: any(path.stat().st_size > 0 for path in root.glob("a/.x.*.partial")), 20, "it writes")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert list(target.list("")) == []
    assert target.size("a/x") is None
    assert target.sweep_uploads(datetime.now(UTC) + LATER) == ["a/x"]
    assert files(root) == []


def test_empty_directories_go_with_their_last_file(root: Path, target: DirectoryTarget) -> None:
    """But never the target itself, or one that another upload is about to use."""
    target.put("a/b/x", b"1")
    upload = target.begin("a/c/y")
    target.delete("a/b/x")
    assert not (root / "a/b").exists()
    upload.commit()
    target.delete("a/c/y")
    assert list(root.iterdir()) == []

"""Volumes, bind mounts and layers are read the same by both ways: directly, and through the engine."""

from __future__ import annotations

import io
import json
import subprocess

import pytest

from blocks.backup.archive import archive
from blocks.backup.trees import LocalTree
from blocks.backup.volumes import TarTree, layer_stream, local_path, nanoseconds, volume_stream
from blocks.engine import Engine
from compose.stack.backup.archive_format import Totals
from compose.stack.backup.component import Place
from tests.engine_state import docker
from tests.saving_lab import BUSYBOX, laboratory

pytestmark = pytest.mark.engine
NAME = "t-backup-volumes"
FILL = """
mkdir -p /data/a/b && echo one > /data/a/b/one && ln /data/a/b/one /data/two && ln -s /etc/passwd /data/away
chown 999:998 /data/a && chmod 2770 /data/a && touch /data/empty && mkfifo /data/pipe
head -c 3000000 /dev/urandom > /data/big && chmod 700 /data && chown 999 /data
mkdir -p /opt/app && echo layer > /opt/app/file && echo x >> /etc/passwd
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with laboratory(tmp_path_factory.mktemp("volumes")):
        docker("volume", "create", NAME)
        try:
            docker("run", "-d", "--name", NAME, "-v", f"{NAME}:/data", "--network", "none", "--init", BUSYBOX,
                   "sh", "-c", f"{FILL} touch /ready; sleep 3600")  # fmt: skip
            docker("exec", NAME, "sh", "-c", "until test -e /ready; do sleep 0.1; done")
            yield Engine.connect()
        finally:
            subprocess.run(["docker", "rm", "-f", NAME], capture_output=True, check=False)
            docker("volume", "rm", "-f", NAME)


def entries(tree):
    index = io.BytesIO()
    size = sum(len(chunk) for chunk in archive([tree], index, Totals()))
    lines = [json.loads(line) for line in index.getvalue().splitlines()]
    # the engine gives whole seconds
    return size, {line["path"]: line | {"mtime": line["mtime"] // 10**9} for line in lines}


def test_both_ways_tell_the_same(engine):
    """Every entry, owner, mode, link and hash; sockets and pipes are left out by both."""
    place = Place("volume", NAME, "/data")
    path = local_path(engine, place)
    assert path is not None
    directly = entries(LocalTree(path))[1]
    with volume_stream(engine, place, BUSYBOX) as chunks:
        assert entries(TarTree(chunks))[1] == directly
    assert directly["."]["mode"] == 0o700
    assert directly["."]["uid"] == 999
    assert directly["two"]["kind"] == "hardlink"
    assert len(directly["big"]["sha256"]) == 64
    assert "pipe" not in directly


def test_a_directory_that_is_not_what_the_engine_sees_is_not_taken(engine, tmp_path):
    """The same path here and there, but another directory: read through the engine."""
    place = Place("bind", str(tmp_path), "/x")
    assert local_path(engine, place) == tmp_path
    assert local_path(engine, Place("bind", "/proc/self", "/x")) is None
    assert local_path(engine, Place("layer", NAME, "/opt")) is None


def test_a_layer_keeps_its_place_below_the_root(engine):
    """Paths of a container's own layer are relative to its root, so that they can be put back."""
    with layer_stream(engine, NAME, "/opt/app") as chunks:
        _, found = entries(TarTree(chunks, "opt/app"))
    assert list(found) == ["opt/app", "opt/app/file"]
    with layer_stream(engine, NAME, "/etc/passwd") as chunks:
        _, found = entries(TarTree(chunks, "etc/passwd"))
    assert list(found) == ["etc/passwd"]


def test_nothing_is_left_behind(engine):
    """No container of ours, whatever was read."""
    with volume_stream(engine, Place("volume", NAME), BUSYBOX) as chunks:
        next(chunks)  # given up in the middle
    names = docker("ps", "-a", "--format", "{{.Names}}").split()
    assert not [name for name in names if name.startswith("t-volume-")]


def test_times_of_the_engine_are_read_to_the_nanosecond():
    """As Go writes them, with and without a fraction."""
    assert nanoseconds("1970-01-01T00:00:01Z") == 10**9
    assert nanoseconds("2026-11-24T15:00:00.5Z") % 10**9 == 500_000_000
    assert nanoseconds("2026-11-24T15:00:00.123456789+00:00") % 10**9 == 123_456_789
    assert nanoseconds("2026-11-24T16:00:00+01:00") == nanoseconds("2026-11-24T15:00:00Z")
    assert nanoseconds("yesterday") == -1

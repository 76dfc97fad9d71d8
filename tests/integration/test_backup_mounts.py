"""Mounts that are more than a directory: what the engine mounts for a volume, and links as sources of binds."""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import replace

import pytest

from blocks.backup.volumes import local_path
from compose.stack.backup.component import Kind, Place
from compose.stack.backup.manifest import PlaceRecord
from compose.stack.backup.runbook_shell import data
from tasks.backup.look import inventory
from tasks.backup.stopping import Stopper
from tests.addresses import subnet_of
from tests.engine_state import docker
from tests.saving_lab import BUSYBOX, component, laboratory, opened, saved, saving
from tests.saving_pool import PoolLab, filed

pytestmark = pytest.mark.engine
NAME = "t-mounts"
LOCKING = "trap 'rm /opt/lock; exit 0' TERM; mkdir -p /opt; touch /opt/lock /opt/kept; while :; do sleep 0.1; done"
PROJECT = """
services:
  one:
    image: {image}
    init: true
    command: [sleep, "3600"]
    volumes:
      - bound:/bound
      - memory:/memory
      - {place}/link:/link
      - {place}/linked.db:/linked.db
  two:
    image: {image}
    command: [sh, -c, "{locking}"]
networks: {{default: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}}}
volumes:
  bound: {{driver_opts: {{type: none, o: bind, device: {place}/device}}}}
  memory: {{driver_opts: {{type: tmpfs, device: tmpfs}}}}
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    with laboratory(tmp_path_factory.mktemp("mounts")) as lab:
        place = lab.place / "mounts"
        text = PROJECT.format(image=BUSYBOX, place=place, locking=LOCKING, subnet=subnet_of(NAME))
        project = lab.scratch("mounts", text)
        for name in ("device", "real"):
            (place / name).mkdir()
            (place / name / "file").write_text(f"in {name}\n")
        (place / "real.db").write_text("a database\n" * 10)
        (place / "link").symlink_to("real")
        (place / "linked.db").symlink_to("real.db")
        assert lab.deploy(project).exit_code == 0
        docker("exec", f"{NAME}-one-1", "sh", "-c", "echo gone > /memory/file")
        yield project, opened(lab, project)


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        return {one.name: read.extractfile(one).read() if one.isfile() else b"" for one in read}


def test_a_volume_with_driver_options_is_saved_although_its_stop_unmounts_it(scene, tmp_path):
    """The directory that it is bound to is read, not the empty one that is left at its mount point."""
    _, work = scene
    assert docker("volume", "inspect", "-f", "{{.Mountpoint}}", f"{NAME}_bound").endswith("_data\n")
    given = saving(work, component(work, "volume-bound"), tmp_path / "spool", Stopper(work))
    assert saved(given).downtime is not None
    assert members(given.files.plain["volume-bound/data.tar"])["file"] == b"in device\n"


def test_the_runbook_finds_where_a_volumes_files_lie(scene):
    """In the directory that it is bound to: what is put at its mount point would be hidden by the mount."""
    project, _ = scene
    docker("volume", "create", f"{NAME}_plain")
    try:
        for name, place in (("bound", f"{project.path('device')}"), ("plain", "/_data")):
            find = "\n".join((*data(PlaceRecord(kind="volume", source=f"{NAME}_{name}")), 'echo "$DATA"'))
            told = subprocess.run(("sh", "-euc", find), capture_output=True, text=True, check=True)
            assert told.stdout.splitlines()[-1].endswith(place)
    finally:
        docker("volume", "rm", f"{NAME}_plain")


def test_a_volume_that_cannot_be_read_directly_comes_through_the_engine(scene, tmp_path, monkeypatch):
    """As with NFS: the engine mounts it for a container that is never started."""
    _, work = scene
    monkeypatch.setattr("tasks.backup.sources.local_path", lambda *_: None)
    given = saving(work, component(work, "volume-bound"), tmp_path / "spool", Stopper(work))
    saved(given)
    assert members(given.files.plain["volume-bound/data.tar"])["file"] == b"in device\n"


def test_a_volume_in_memory_is_waived(scene):
    """By name, with the reason."""
    _, work = scene
    _, found = inventory(work)
    assert "volume-memory" not in [one.name for one in found.components]
    assert [one.reason for one in found.waived if one.what == "memory"]
    assert local_path(work.engine, Place("volume", f"{NAME}_memory")) is None


def test_a_file_that_can_be_written_is_data(scene, tmp_path, monkeypatch):
    """Its service stands still for its copy; by both ways it keeps the name of its mount."""
    _, work = scene
    (of,) = [one for one in inventory(work)[1].components if one.name.endswith("linked.db")]
    for number in range(2):
        given = saving(work, of, tmp_path / f"spool{number}", Stopper(work))
        assert saved(given).downtime is not None
        assert members(given.files.plain[f"{of.name}/data.tar"]) == {"linked.db": b"a database\n" * 10}
        monkeypatch.setattr("tasks.backup.sources.local_path", lambda *_: None)


def test_what_a_program_removes_at_its_end_does_not_fail_its_layer(scene, tmp_path):
    """A lock or socket in the container's own layer; the rest is saved, and the note says what went."""
    _, work = scene
    of = component(work, "layer-two-1")
    of = replace(of, places=tuple(replace(of.places[0], target=path) for path in ("/opt/kept", "/opt/lock")))
    given = saving(work, of, tmp_path / "spool", Stopper(work))
    assert "1 paths went when their program ended, as its sockets do: /opt/lock" in saved(given).notes
    assert list(members(given.files.plain["layer-two-1/data.tar"])) == ["opt/kept"]


def test_what_a_link_leads_to_is_saved(scene, tmp_path):
    """A bind whose source is a link, as an archive and in the pool."""
    _, work = scene
    (of,) = [one for one in inventory(work)[1].components if one.kind is Kind.VOLUME and one.name.endswith("link")]
    given = saving(work, of, tmp_path / "spool", Stopper(work))
    saved(given)
    assert members(given.files.plain[f"{of.name}/data.tar"])["file"] == b"in real\n"
    pooled = replace(of, options={"pool": True})
    with PoolLab(tmp_path).backup() as pool:
        given = saving(work, pooled, tmp_path / "again", Stopper(work))
        given.pool = pool
        assert saved(given).pool.files == 1
    assert [line["path"] for line in filed(given.files, of.name) if line["kind"] == "file"] == ["file"]

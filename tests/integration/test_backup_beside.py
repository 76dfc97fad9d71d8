"""What lies in an online store's volume beside its own files: saved with it, or apart where others write it."""

from __future__ import annotations

import io
import tarfile

import pytest

from blocks.polling import poll
from compose.stack.backup.component import Manner
from tasks.backup.stopping import Stopper
from tests.addresses import free_subnet
from tests.engine_state import docker
from tests.fakes.backup_files import MemoryFiles
from tests.saving_lab import BUSYBOX, component, laboratory, opened, saved, saving
from tests.store_lab import need

pytestmark = [pytest.mark.engine, pytest.mark.stack]

PROJECT = f"""
services:
  cache:
    image: sutazai/redis:7.0
    command: [redis-server, --protected-mode, "no"]
    volumes: ["shared:/data"]
    x-ops: {{probe: {{redis: {{}}}}}}
  app:
    image: {BUSYBOX}
    init: true
    command: [sleep, "3600"]
    volumes: ["shared:/uploads"]
  db:
    image: sutazai/postgres:16.14
    environment: {{POSTGRES_PASSWORD: of-the-tests}}
    volumes: ["pg:/var/lib/postgresql/data"]
volumes: {{shared: {{}}, pg: {{}}}}
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    for image in ("sutazai/redis:7.0", "sutazai/postgres:16.14"):
        need(image)
    with laboratory(tmp_path_factory.mktemp("beside")) as lab:
        network = f"\nnetworks: {{default: {{ipam: {{config: [{{subnet: {free_subnet()}}}]}}}}}}\n"
        project = lab.scratch("t-beside", PROJECT + network)
        assert lab.deploy(project, accept=["shared-database-volume"]).exit_code == 0
        made = opened(lab, project)
        name = made.name
        docker("exec", f"{name}-app-1", "sh", "-c", "mkdir /uploads/a; echo photo > /uploads/a/b.jpg")
        docker("exec", f"{name}-cache-1", "sh", "-c", "echo user default on nopass > /data/users.acl")
        docker("exec", f"{name}-cache-1", "redis-cli", "set", "k", "v")
        docker("exec", f"{name}-cache-1", "redis-cli", "save")
        words = ("psql", "-U", "postgres", "-c", "ALTER SYSTEM SET work_mem = '9MB'")
        assert poll(lambda: "ALTER SYSTEM" in docker("exec", f"{name}-db-1", *words), 30)
        yield made


def members(data: bytes) -> dict[str, bytes]:
    """Files of an archive."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive if one.isfile()}


def test_files_of_others_are_saved_while_these_stand_still_and_the_store_goes_on(scene, tmp_path):
    """A component of their own, without Redis' dump; Redis' own component has the dump alone."""
    files = MemoryFiles()
    started = scene.engine.inspect(component(scene, "cache").container)
    beside = component(scene, "volume-shared")
    assert (beside.manner, beside.services) == (Manner.STOPPED, ("app",))
    made = saved(saving(scene, beside, tmp_path / "a", Stopper(scene, guarded=False), files))
    assert made.downtime
    assert members(files.plain["volume-shared/rest.tar"]) == {
        "a/b.jpg": b"photo\n", "users.acl": b"user default on nopass\n",
    }  # fmt: skip
    saved(saving(scene, component(scene, "cache"), tmp_path / "b", None, files))
    assert [path for path in files.plain if path.startswith(("redis/", "cache/"))] == ["redis/dump.rdb"]
    assert scene.engine.inspect(component(scene, "cache").container) == started


def test_without_encryption_users_are_left_out_by_name(scene, tmp_path):
    """The rest is there all the same."""
    files = MemoryFiles(sealed=False)
    beside = component(scene, "volume-shared")
    made = saved(saving(scene, beside, tmp_path, Stopper(scene, guarded=False), files))
    assert made.left_out == ("volume-shared: /data/users.acl",)
    assert list(members(files.plain["volume-shared/rest.tar"])) == ["a/b.jpg"]


@pytest.mark.parametrize("seen", [True, False], ids=["on this host", "through the engine"])
def test_settings_of_a_database_are_saved_and_return(scene, tmp_path, monkeypatch, seen):
    """ALTER SYSTEM and pg_hba.conf, owners and modes too; nothing that the dump has."""
    if not seen:
        monkeypatch.setattr("tasks.backup.rest.local_path", lambda *_: None)
    files = MemoryFiles(sealed=False)
    given = saving(scene, component(scene, "db"), tmp_path, None, files)
    given.verify = "content"
    made = saved(given)
    there = members(files.plain["db/rest.tar"])
    assert set(there) == {"pg_hba.conf", "pg_ident.conf", "postgresql.conf", "postgresql.auto.conf"}
    assert b"work_mem = '9MB'" in there["postgresql.auto.conf"]
    assert made.fingerprint["beside"]["rest"]["files"] == 4
    assert made.left_out == ("password hashes of PostgreSQL's roles",)

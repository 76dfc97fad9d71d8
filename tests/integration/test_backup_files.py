"""Plain volumes, layers and the FAISS service's indexes: archived, or file by file into the pool."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from dataclasses import replace

import pytest

from blocks.backup.stop_journal import StopJournal
from blocks.polling import poll
from compose.stack.backup.component import Component, Kind, Manner, Place
from compose.stack.errors import Failed
from tasks.backup.archives import ArchiveProcedure
from tasks.backup.looks import faiss
from tasks.backup.pooled import PooledProcedure, wants_pool
from tasks.backup.procedures import procedure_for
from tasks.backup.sources import sources_of
from tasks.backup.stopping import Stopper
from tests.engine_state import docker
from tests.saving_lab import BUSYBOX, component, laboratory, network, opened, saving
from tests.saving_pool import PoolLab, filed

pytestmark = pytest.mark.engine
WRITE = "trap 'exit 0' TERM; while :; do date >> /data/log; echo $$RANDOM >> /opt/made; sleep 0.05; done"
PROJECT = f"""
services:
  one:
    image: {BUSYBOX}
    command: [sh, -c, "mkdir -p /opt/x; echo layer > /opt/x/file; {WRITE}"]
    volumes: ["data:/data", "/anonymous"]
  two:
    image: {BUSYBOX}
    init: true
    command: [sleep, "3600"]
    volumes: ["data:/elsewhere", "./bind:/bind"]
    depends_on: [one]
  reader:
    image: {BUSYBOX}
    init: true
    command: [sleep, "3600"]
    volumes: ["data:/data:ro"]
volumes: {{data: {{}}}}
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    with laboratory(tmp_path_factory.mktemp("files")) as lab:
        project = lab.scratch("t-files", PROJECT + network(42))
        (lab.place / "t-files" / "bind").mkdir()
        (lab.place / "t-files" / "bind" / "kept").write_text("bound")
        assert lab.deploy(project).exit_code == 0
        fill = "head -c 3000000 /dev/urandom > /elsewhere/big; mkdir /elsewhere/sub; echo 1 > /elsewhere/sub/one"
        fill += "; echo 2 > $(printf '/elsewhere/sub/caf\\351')"
        docker("exec", f"{project.name}-two-1", "sh", "-c", fill)
        yield project, opened(lab, project)


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        return {one.name: read.extractfile(one).read() if one.isfile() else b"" for one in read}


def done(given, procedure):
    try:
        procedure.open()
        return procedure.save()
    finally:
        procedure.close()


def started(project, service):
    return docker("inspect", "-f", "{{.State.StartedAt}}", f"{project.name}-{service}-1")


def test_a_volume_stands_still_with_all_who_write_it(scene, tmp_path):
    """Both writers are stopped, the reader goes on; the archive holds every file as it was at that moment."""
    project, work = scene
    before = {name: started(project, name) for name in ("one", "two", "reader")}
    given = saving(work, component(work, "volume-data"), tmp_path / "spool", Stopper(work))
    saved = done(given, procedure_for(given))
    print("downtime", saved.downtime)
    after = {name: started(project, name) for name in before}
    assert [name for name in before if before[name] != after[name]] == ["one", "two"]
    found = members(given.files.plain["volume-data/data.tar"])
    assert len(found["big"]) == 3_000_000
    assert found["sub/one"] == b"1\n"
    assert found["log"].endswith(b"\n")
    assert saved.fingerprint["files"] == 4
    assert StopJournal(work.home).empty


def test_a_live_volume_is_read_while_it_is_written(scene, tmp_path):
    """Nobody is stopped; what was written meanwhile is noted by name, and the archive is whole."""
    project, work = scene
    before = started(project, "one")
    of = replace(component(work, "volume-data"), manner=Manner.LIVE)
    given = saving(work, of, tmp_path / "spool", Stopper(work))
    saved = done(given, procedure_for(given))
    assert started(project, "one") == before
    assert len(members(given.files.plain["volume-data/data.tar"])["big"]) == 3_000_000
    assert saved.downtime is None


def test_a_layer_is_saved_by_its_paths(scene, tmp_path):
    """What a container wrote outside of every volume lies in the archive as below its root."""
    _, work = scene
    of = component(work, "layer-one-1")
    given = saving(work, of, tmp_path / "spool", Stopper(work))
    saved = done(given, procedure_for(given))
    found = members(given.files.plain["layer-one-1/data.tar"])
    assert found["opt/x/file"] == b"layer\n"
    assert found["opt/made"]
    assert saved.downtime is not None
    lines = given.files.plain["layer-one-1/data.index.jsonl"].splitlines()
    assert len({json.loads(line)["path"] for line in lines}) == len(lines)


def test_a_big_volume_goes_into_the_pool_and_only_what_changed_is_copied_again(scene, tmp_path, monkeypatch):
    """Its writers stand still for the log alone: the big file was in the pool before, and the second time too."""
    project, work = scene
    monkeypatch.setattr("blocks.backup.source.SETTLED", 2_000_000_000)
    of = replace(component(work, "volume-data"), options={"pool": True})
    lab = PoolLab(tmp_path)
    docker("exec", f"{project.name}-two-1", "touch", "-d", "2026-01-01 00:00:00", "/elsewhere/big")
    assert poll(lambda: _settled(work, of), 10)
    for number in (1, 2):
        with lab.backup() as pool:
            given = saving(work, of, tmp_path / f"spool{number}", Stopper(work))
            given.pool = pool
            assert wants_pool(given)
            procedure = procedure_for(given)
            assert isinstance(procedure, PooledProcedure)
            procedure.open()
            copied = {path.stat().st_size for path in (tmp_path / f"spool{number}" / "copies").iterdir()}
            assert 3_000_000 not in copied
            saved = procedure.save()
            procedure.close()
        lines = {line["path"]: line for line in filed(given.files, "volume-data")}
        assert lines["big"]["size"] == 3_000_000
        assert lines["big"]["blob"] in lab.blobs
        assert lines["sub"]["kind"] == "directory"
        assert lines["sub/caf\udce9"]["size"] == 2, "a name that is no UTF-8"
        assert not list((tmp_path / f"spool{number}").iterdir())
    assert saved.pool.new_bytes < 1_000_000
    assert StopJournal(work.home).empty


def _settled(work, of):
    (source,) = sources_of(work.engine, of)
    return time.time_ns() - (source.path / "big").stat().st_ctime_ns > 2_500_000_000


def test_a_failed_write_is_tried_again_from_the_same_copy(scene, tmp_path):
    """Nothing is stopped a second time; what was written before is not written twice."""
    project, work = scene

    class Failing:
        def __init__(self, files):
            self.files, self.sealed, self.left = files, True, 1

        def file(self, path, **how):
            if path.endswith("index.jsonl") and self.left:
                self.left -= 1
                raise Failed("the target is gone")
            return self.files.file(path, **how)

    given = saving(work, component(work, "volume-data"), tmp_path / "spool", Stopper(work))
    given.files = Failing(given.files)
    procedure = ArchiveProcedure(given)
    procedure.open()
    before = started(project, "one")
    with pytest.raises(Failed, match="gone"):
        procedure.save()
    saved = procedure.save()
    procedure.close()
    assert started(project, "one") == before
    assert len(saved.files) == 2


def test_an_index_of_faiss_is_the_one_that_its_record_means(tmp_path):
    """Vectors per index from the records; an index that was changed behind its record fails by name."""
    (tmp_path / "a.1.index").write_bytes(b"vectors")
    record = {"name": "a", "file": "a.1.index", "ntotal": 7, "dimension": 3, "generation": 1}
    record["sha256"] = hashlib.sha256(b"vectors").hexdigest()
    (tmp_path / "a.json").write_text(json.dumps(record))
    assert faiss([tmp_path])[0]["indexes"] == {"a": {"ntotal": 7, "dimension": 3, "generation": 1}}
    (tmp_path / "a.1.index").write_bytes(b"vectorz")
    with pytest.raises(Failed, match="another file"):
        faiss([tmp_path])
    (tmp_path / "a.1.index").unlink()
    with pytest.raises(Failed, match="not there"):
        faiss([tmp_path])


def test_a_volume_that_nobody_mounts_is_read_without_stopping_anybody(scene, tmp_path):
    """No service writes it: nothing is stopped, and no downtime is told."""
    project, work = scene
    docker("volume", "create", "--label", f"com.docker.compose.project={project.name}", "t-files_orphan")
    try:
        of = Component("volume-orphan", Kind.VOLUME, Manner.STOPPED, (), (Place("volume", "t-files_orphan"),))
        given = saving(work, of, tmp_path / "spool", Stopper(work))
        saved = done(given, procedure_for(given))
        assert saved.downtime is None
        assert saved.fingerprint["directories"] == 1
    finally:
        docker("volume", "rm", "t-files_orphan")

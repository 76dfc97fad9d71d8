"""Where data is read from: never from an empty directory or a link that stands in its place."""

from __future__ import annotations

import io
import tarfile
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import docker.errors
import pytest

from blocks.backup.spool import copy_tree
from blocks.backup.trees import LocalTree, number_of
from blocks.backup.volumes import TarTree, lasting_path
from compose.stack.backup.component import Component, Kind, Manner, Place
from compose.stack.backup.facts import lies_in_memory
from compose.stack.errors import Failed
from tasks.backup.archives import ArchiveProcedure
from tasks.backup.ollama import OllamaProcedure
from tasks.backup.procedure import Downtime, Saving
from tasks.backup.sources import Source
from tests.fakes.backup_files import MemoryFiles

MOUNTPOINT = "/var/lib/docker/volumes/v/_data"


@pytest.mark.parametrize(
    ("driver", "options", "path"),
    [
        ("local", None, MOUNTPOINT),
        ("local", {}, MOUNTPOINT),
        ("local", {"o": "size=1g"}, MOUNTPOINT),
        ("local", {"type": "none", "o": "bind", "device": "/srv/media"}, "/srv/media"),
        ("local", {"type": "none", "o": "ro,rbind", "device": "/srv/media"}, "/srv/media"),
        ("local", {"type": "nfs", "o": "addr=10.0.0.1,rw", "device": ":/export"}, ""),
        ("local", {"type": "cifs", "o": "username=x", "device": "//nas/share"}, ""),
        ("local", {"type": "ext4", "device": "/dev/sdb1"}, ""),
        ("local", {"type": "tmpfs", "device": "tmpfs"}, ""),
        ("rexray", None, ""),
    ],
)
def test_what_the_engine_mounts_for_a_volume_is_not_read_at_its_mount_point(driver, options, path) -> None:
    """Without a container that uses it, an empty directory lies there."""
    told = {"Driver": driver, "Options": options, "Mountpoint": MOUNTPOINT}
    assert lasting_path(told) == path
    assert lies_in_memory(told) is ((options or {}).get("type") == "tmpfs")


@pytest.mark.parametrize("what", ["directory", "file"])
def test_a_link_is_not_read_in_the_place_of_what_it_leads_to(tmp_path, what) -> None:
    """It would be saved alone, and look like an empty success."""
    real = tmp_path / "real"
    if what == "directory":
        real.mkdir()
        (real / "data").write_text("data")
    else:
        real.write_text("data")
    (tmp_path / "link").symlink_to(real)
    for read in (
        LocalTree(tmp_path / "link").measure,
        LocalTree(tmp_path / "link").state,
        lambda: list(LocalTree(tmp_path / "link").walk()),
        lambda: copy_tree(tmp_path / "link", tmp_path / "copy"),
    ):
        with pytest.raises(Failed, match="is a link"):
            read()


def test_a_single_file_keeps_the_name_of_its_mount(tmp_path) -> None:
    """Wherever a link leads, and whichever way it is read: by that name it is put back."""
    (tmp_path / "v1.db").write_text("data")
    place = Place("bind", "/srv/current.db", "/data/app.db")
    source = Source(SimpleNamespace(), place, tmp_path / "v1.db", number_of(tmp_path / "v1.db"))
    with source.live() as tree, source.copied(tmp_path / "copy", lambda: None).tree() as copy:
        assert [e.path for e, _ in tree.walk()] == [e.path for e, _ in copy.walk()] == ["current.db"]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        made.addfile(tarfile.TarInfo("ops-volume"))
    assert [e.path for e, _ in TarTree(iter([out.getvalue()]), "", source.name).walk()] == ["current.db"]


def done(procedure):
    """What it saves."""
    procedure.open()
    return procedure.save()


def not_found(*_: object, **__: object) -> None:
    """What the engine answers, of a path as of a container."""
    raise docker.errors.NotFound("no such")


@pytest.mark.parametrize("there", [True, False])
def test_a_layers_path_that_is_gone_holds_nothing(tmp_path, there) -> None:
    """A program removes its socket when it ends; a container that is gone is another matter."""
    api = SimpleNamespace(get_archive=not_found)
    engine = SimpleNamespace(client=SimpleNamespace(api=api), inspect=lambda _: "it" if there else None)
    place = Place("layer", "id", "/app/app.sock", "id", "web")
    of = Component("layer-web-1", Kind.LAYER, Manner.STOPPED, ("web",), (place,))
    work = SimpleNamespace(engine=engine)
    stopping = SimpleNamespace(stopped=lambda *_: nullcontext(Downtime()))
    for manner in (Manner.STOPPED, Manner.LIVE):
        files = MemoryFiles()
        given = Saving(work, replace(of, manner=manner), files, stopping, tmp_path)
        procedure = ArchiveProcedure(given)
        if not there:
            with pytest.raises(Failed, match="no such"):
                done(procedure)
            continue
        saved = done(procedure)
        with tarfile.open(fileobj=io.BytesIO(files.plain["layer-web-1/data.tar"])) as made:
            assert made.getnames() == []
    if there:
        assert saved.fingerprint["files"] == 0


def test_another_directory_after_the_stop_is_not_copied(tmp_path) -> None:
    """As when the last container that used a mount is gone: nothing is read, by name."""
    place, there = Place("bind", str(tmp_path / "data")), tmp_path / "data"
    there.mkdir()
    (there / "file").write_text("1")
    source = Source(SimpleNamespace(), place, there, number_of(there))
    assert [entry.path for entry, _ in LocalTree(source.copied(tmp_path / "one", lambda: None).root).walk()]
    there.rename(tmp_path / "unmounted")
    there.mkdir()
    with pytest.raises(Failed, match="another directory lies there"):
        source.copied(tmp_path / "two", lambda: None)


@pytest.mark.parametrize("linked", ["models", ".ollama", "models/manifests"])
def test_models_behind_a_link_fail_by_name(tmp_path, linked, monkeypatch) -> None:
    """A link of a container leads elsewhere on this host: no model is no success."""
    root = tmp_path / "volume"
    (root / "real" / "models" / "manifests").mkdir(parents=True)
    inside = {".ollama": "/root/x/.ollama/models", "models": "/root/x/models"}.get(linked, "/root/x/real/models")
    if linked == "models/manifests":
        (root / "real" / "models" / "manifests").rename(root / "elsewhere")
        (root / "real" / "models" / "manifests").symlink_to(root / "elsewhere")
    else:
        (root / linked).symlink_to("/root/x/real")
    place = Place("volume", "v", "/root/x")
    container = SimpleNamespace(environment={"OLLAMA_MODELS": inside})
    work = SimpleNamespace(engine=SimpleNamespace(inspect=lambda _: container))
    of = Component("ollama", Kind.OLLAMA, Manner.ONLINE, ("ollama",), (place,))
    monkeypatch.setattr("tasks.backup.ollama.local_path", lambda *_: root)
    with pytest.raises(Failed, match="link"):
        OllamaProcedure(SimpleNamespace(work=work, component=of)).open()

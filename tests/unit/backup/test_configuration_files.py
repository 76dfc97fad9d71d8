"""Configuration: whole, with its links, or failed by the names of what is missing."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from blocks import host_paths
from blocks.backup.volumes import _readable
from blocks.host_paths import bind_of
from compose.stack.backup.facts import Bind
from compose.stack.errors import Failed
from tasks.backup import configuration_files, look
from tasks.backup.configuration import ConfigurationProcedure
from tasks.backup.configuration_files import Collected, _files, _take, _take_context, _waived

WORK = SimpleNamespace(redactor=SimpleNamespace(values=()))


def taken(*paths: Path) -> Collected:
    """What is read of these."""
    found = Collected()
    for path in paths:
        for file in _files(str(path), found.failed, []):
            _take(WORK, found, file, str(path), secret=False)
    return found


def denied(*_: object) -> None:
    """As for a user who may not."""
    raise PermissionError(13, "Permission denied", "/srv/x")


def test_links_in_a_directory_are_links_in_the_archive(tmp_path) -> None:
    """As the certificates of Let's Encrypt are; and plain tar brings them back, as the runbook says."""
    live, archive = tmp_path / "etc" / "live", tmp_path / "etc" / "archive"
    live.mkdir(parents=True)
    archive.mkdir()
    (archive / "chain1").write_text("a certificate")
    (live / "chain").symlink_to("../archive/chain1")
    (live / "directory").symlink_to(archive)
    found = taken(tmp_path / "etc", live / "chain")
    assert set(found.clear) == {str(archive / "chain1"), str(live / "chain")}, "what is named itself is followed"
    procedure = ConfigurationProcedure(SimpleNamespace())
    procedure.found = found
    members = {f"files{path}": data for path, data in found.clear.items()}
    packed = b"".join(procedure._packed(members, procedure._links(set(members))))
    with tarfile.open(fileobj=io.BytesIO(packed)) as read:
        assert [one.name for one in read if one.issym()] == [f"files{live}/directory"]
    del members[f"files{live}/chain"]
    packed = b"".join(procedure._packed(members, procedure._links(set(members))))
    root = tmp_path / "root"
    root.mkdir()
    back = ("tar", "-xp", "--numeric-owner", "--skip-old-files", "-C", str(root), "--strip-components=1", "files")
    subprocess.run(back, input=packed, check=True)
    restored = Path(f"{root}{live}")
    assert os.readlink(restored / "chain") == "../archive/chain1"
    assert (restored / "chain").read_text() == "a certificate"
    assert os.readlink(restored / "directory") == str(archive)
    members[f"files{live}/directory/chain1"] = b"named through the link"
    assert f"files{live}/directory" not in procedure._links(set(members))


def test_what_cannot_be_read_fails_by_name(tmp_path, monkeypatch) -> None:
    """A backup that lacks configuration is not complete."""
    (tmp_path / "file").write_text("x")
    assert not taken(tmp_path, tmp_path / "not-there").failed
    taken(tmp_path).whole()
    assert taken(tmp_path / "file" / "in-a-file").failed == [
        f"{tmp_path}/file/in-a-file cannot be read (not a directory)"
    ]
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", denied)
        assert taken(tmp_path).failed == ["/srv/x cannot be read (permission denied)"]
    with monkeypatch.context() as patch:
        patch.setattr(configuration_files, "BIGGEST", 0)
        assert taken(tmp_path).failed == [f"{tmp_path}/file is larger than 0 MiB"]
    monkeypatch.setattr(Path, "read_bytes", denied)
    with pytest.raises(Failed, match=r"file cannot be read \(permission denied\)"):
        taken(tmp_path).whole()


def test_a_build_context_that_is_too_big_fails_unless_it_is_waived(tmp_path, monkeypatch) -> None:
    """By its path, from the project's directory or absolute."""
    (tmp_path / "app" / "models").mkdir(parents=True)
    (tmp_path / "app" / "models" / "one").write_text("x" * 100)
    (tmp_path / "app" / "Dockerfile").write_text("FROM x")
    monkeypatch.setattr(configuration_files, "BIGGEST_CONTEXT", 50)
    found = Collected()
    _take_context(WORK, found, tmp_path / "app", [])
    assert "too big" in found.failed[0]
    hints = SimpleNamespace(backup=SimpleNamespace(waive={"./app/models": "made again", "files": "a volume"}))
    project = SimpleNamespace(directory="", files=(str(tmp_path / "compose.yml"),))
    waived = _waived(SimpleNamespace(project=project, stack=SimpleNamespace(hints=hints)))
    assert waived == [str(tmp_path / "app" / "models")]
    assert [file.name for file in _files(str(tmp_path / "app"), [], waived)] == ["Dockerfile"]
    found = Collected()
    _take_context(WORK, found, tmp_path / "app", waived)
    assert not found.failed
    assert list(found.clear) == [str(tmp_path / "app" / "Dockerfile")]


@pytest.mark.parametrize(
    ("local", "seen", "path", "kind"),
    [
        (False, True, "", "unseen"),
        (True, True, "", "directory"),
        (True, False, "", "unseen"),
        (True, True, "gone/x", "missing"),
        (True, False, "gone/x", "unseen"),
        (True, False, "full", "directory"),
    ],
)
def test_nothing_is_there_only_where_the_engine_sees_the_same(
    tmp_path, monkeypatch, local, seen, path, kind
) -> None:
    """On another host, or where we run in a container: it may have what we do not see."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "full").mkdir()
    (tmp_path / "root" / "full" / "file").write_text("x")
    root = tmp_path / "root" if path else tmp_path / "empty"
    root.mkdir(exist_ok=True)
    asked: list[str] = []
    monkeypatch.setattr(look, "is_local", lambda _: local)
    monkeypatch.setattr(look, "local_path", lambda _, place: (asked.append(place.source), seen)[1] and root)
    assert look._bind(SimpleNamespace(), str(root / path)).kind == kind
    assert asked == ([str(root)] if local and path != "full" else [])


def test_what_this_user_may_not_read_is_not_read_directly(tmp_path, monkeypatch) -> None:
    """A directory that a database keeps to itself, however deep it lies."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    (tmp_path / "a" / "link").symlink_to("/nowhere")
    assert _readable(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, _: not str(path).endswith("file"))
    assert not _readable(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, _: True)
    monkeypatch.setattr(os, "scandir", denied)
    assert not _readable(tmp_path)


def test_a_bind_that_cannot_be_looked_at_does_not_look_empty(tmp_path, monkeypatch) -> None:
    """Only what is really not there is missing."""
    (tmp_path / "file").write_text("x")
    assert bind_of(str(tmp_path / "nothing")) == Bind("missing")
    assert bind_of(str(tmp_path / "file" / "in-a-file")) == Bind("unseen")
    assert bind_of(str(tmp_path)) == Bind("directory", 1, 1)
    monkeypatch.setattr(host_paths.os, "scandir", denied)
    found = bind_of(str(tmp_path))
    assert found == Bind("directory", unread=1)
    assert not found.empty

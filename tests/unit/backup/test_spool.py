"""The spool: a copy as the original is, room seen to before, leftovers of the dead swept."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict

import pytest

from blocks.backup.spool import copy_tree, keep_stream, require_room, spool_directory, sweep_spools
from blocks.backup.stop_journal import this_boot
from blocks.backup.trees import LocalTree
from compose.stack.backup.stop_journal import Holder
from compose.stack.errors import Failed, Refused


def look(tree):
    return {
        entry.path: (entry.kind, entry.mode, entry.uid, entry.gid, entry.size, entry.link, entry.mtime)
        for entry, _ in tree.walk()
    }


def test_a_copy_is_as_the_original(tmp_path):
    """Owners, modes, times, hard links, symbolic links and holes."""
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "one").write_bytes(b"1" * 70_000)
    os.link(root / "a" / "b" / "one", root / "two")
    (root / "away").symlink_to("/nowhere")
    os.chown(root / "a", 999, 998)
    (root / "a").chmod(0o2770)
    with (root / "holes").open("wb") as file:
        file.truncate(50_000_000)
    os.utime(root / "two", ns=(1, 1_234_567_890_123_456_789))
    copied = copy_tree(root, tmp_path / "copy")
    assert look(copied) == look(LocalTree(root))
    assert copied.measure().allocated < 1_000_000


def test_one_file_is_copied_too(tmp_path):
    """A bind mount of a file keeps its name."""
    (tmp_path / "x.db").write_text("x")
    copied = copy_tree(tmp_path / "x.db", tmp_path / "copy")
    assert [entry.path for entry, _ in copied.walk()] == ["x.db"]


def test_a_copy_of_what_changes_is_none(tmp_path, monkeypatch):
    """Somebody writes while `cp` runs: Failed, with the file's name."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "one").write_text("1")
    really = subprocess.Popen.communicate

    def with_a_writer(process, *words, **more):
        (root / "late").write_text("2")
        return really(process, *words, **more)

    monkeypatch.setattr(subprocess.Popen, "communicate", with_a_writer)
    with pytest.raises(Failed, match="late"):
        copy_tree(root, tmp_path / "copy")


def test_what_gives_up_ends_the_copy(tmp_path, monkeypatch):
    """The copying process is gone afterwards; here it is one that never ends by itself."""
    root, slow = tmp_path / "root", tmp_path / "bin" / "cp"
    root.mkdir()
    slow.parent.mkdir()
    slow.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")

    def late():
        raise Failed("too late")

    with pytest.raises(Failed, match="too late"):
        copy_tree(root, tmp_path / "copy", late)
    assert not subprocess.run(["pgrep", "-f", str(tmp_path / "copy")], capture_output=True, check=False).stdout


def test_room_is_seen_to_with_numbers(tmp_path):
    """Refused with what is needed and what is there."""
    free = shutil.disk_usage(tmp_path).free
    require_room(tmp_path, 1000, "db")
    with pytest.raises(Refused, match=r"takes .* and the spool has .* free"):
        require_room(tmp_path, free, "db")


def test_a_spool_is_removed_and_those_of_the_dead_are_swept(tmp_path):
    """Ours at the end; another's only when its process is gone."""
    with spool_directory(tmp_path, "mine") as place:
        keep_stream(iter([b"abc", b"def"]), place / "stream")
        assert (place / "stream").read_bytes() == b"abcdef"
        dead = tmp_path / "dead"
        dead.mkdir()
        (dead / "holder.json").write_text(json.dumps(asdict(Holder(2**22, 1, this_boot()))))
        (tmp_path / "strange").mkdir()
        assert sweep_spools(tmp_path) == ["dead"]
        assert place.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["strange"]

"""Archives of directories: GNU tar unpacks them to the same tree, and the index tells what each file holds."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import subprocess
import tarfile

import pytest

from blocks.backup.archive import archive
from blocks.backup.trees import LocalTree
from compose.stack.backup.archive_format import Entry, Totals, header
from compose.stack.errors import Failed


def packed(root, *, live=False, totals=None):
    index = io.BytesIO()
    totals = totals or Totals()
    data = b"".join(archive([LocalTree(root)], index, totals, live=live))
    return data, [json.loads(line) for line in index.getvalue().splitlines()], totals


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "root"
    (root / "deep" / ("d" * 120) / ("e" * 120)).mkdir(parents=True)
    (root / "deep" / ("d" * 120) / ("e" * 120) / "grüße\nnew line").write_text("inside")
    (root / os.fsdecode(b"no-utf8-\xff")).write_bytes(b"\0\1\2")
    (root / "empty").touch()
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o4750)
    (root / "one").write_bytes(b"x" * 1_500_000)
    os.link(root / "one", root / "other")
    (root / "away").symlink_to("/etc/passwd")
    (root / "sticky").mkdir()
    (root / "sticky").chmod(0o1777)
    os.chown(root / "empty", 4242, 2_500_000)
    os.utime(root / "empty", ns=(1, 1_600_000_000_123_456_789))
    with (root / "holes").open("wb") as file:
        file.truncate(3_000_000)
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(root / "socket"))
    return root


def look(root):
    found = {}
    for entry, content in LocalTree(root).walk():
        data = b"".join(content()) if content else b""
        found[entry.path] = (entry, data)
    return found


def test_tar_unpacks_it_to_the_same_tree(tree, tmp_path):
    """Kinds, modes, owners, times to the nanosecond, hard links, names that are no text: as they were."""
    data, _, totals = packed(tree)
    out = tmp_path / "out"
    out.mkdir()
    subprocess.run(["tar", "-xp", "--numeric-owner", "-C", str(out)], input=data, check=True)
    before, after = look(tree), look(out)
    for path, (entry, content) in before.items():
        mine, found = after[path]
        assert (entry.kind, entry.mode, entry.uid, entry.gid, entry.size, entry.link) == (
            mine.kind, mine.mode, mine.uid, mine.gid, mine.size, mine.link
        ), path  # fmt: skip
        if entry.kind == "file":
            assert entry.mtime == mine.mtime
        assert content == found
    assert before.keys() == after.keys()
    assert totals.skipped == 2
    assert totals.sparse == 1
    assert "left out" in totals.notes()[0]


def test_the_index_tells_every_file_s_hash(tree):
    """Each line has path, kind and owner; a file its size and SHA-256; the order is fixed."""
    data, index, totals = packed(tree)
    by_path = {line["path"]: line for line in index}
    assert by_path["one"]["sha256"] == hashlib.sha256(b"x" * 1_500_000).hexdigest()
    assert by_path["other"] | {"mtime": 0} == {
        "path": "other", "kind": "hardlink", "mode": 0o644, "uid": 0, "gid": 0, "mtime": 0, "link": "one"
    }  # fmt: skip
    assert by_path["away"]["link"] == "/etc/passwd"
    assert next(iter(by_path)) == "."
    again, _, second = packed(tree)
    assert again == data
    assert second.fingerprint() == totals.fingerprint()
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        assert [one.name for one in read] == [line["path"] for line in index]


def test_another_byte_is_another_tree(tree):
    """The one hash of a tree changes with any file."""
    first = packed(tree)[2].tree
    (tree / "run.sh").write_text("#!/bin/sh\t")
    assert packed(tree)[2].tree != first


class Growing(LocalTree):
    """Somebody writes while it is read."""

    def walk(self):
        for entry, content in super().walk():
            if entry.path == "log":
                with (self.root / "log").open("ab") as file:
                    file.write(b"more")
            yield entry, content


def test_a_file_that_is_written_meanwhile_fails_or_is_noted(tmp_path):
    """Where nothing should write: Failed by name. Live: the archive stays whole, and the file is named."""
    (tmp_path / "log").write_bytes(b"line\n" * 10)
    with pytest.raises(Failed, match="log: was written"):
        list(archive([Growing(tmp_path)], io.BytesIO(), Totals()))
    totals = Totals()
    data = b"".join(archive([Growing(tmp_path)], io.BytesIO(), totals, live=True))
    assert totals.changed == ["log"]
    with tarfile.open(fileobj=io.BytesIO(data)) as read:
        assert read.getmember("log").size == 54
    assert "log" in totals.notes()[0]


def test_a_directory_that_becomes_a_link_is_not_followed(tmp_path):
    """Somebody puts a link where a directory was: what it points to is not read."""
    root = tmp_path / "root"
    (root / "inside").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("canary")
    (root / "inside").rmdir()
    (root / "inside").symlink_to(tmp_path / "secret")
    data, index, _ = packed(root)
    assert b"canary" not in data
    assert [line["kind"] for line in index] == ["directory", "symlink"]


def test_one_file_is_a_tree_of_one(tmp_path):
    """A bind mount of a file."""
    (tmp_path / "one.conf").write_text("x=1\n")
    _, index, totals = packed(tmp_path / "one.conf")
    assert [line["path"] for line in index] == ["one.conf"]
    assert totals.files == 1


def test_a_tree_is_measured_without_being_read(tree):
    """Files and bytes; holes take no room."""
    found = LocalTree(tree).measure()
    assert found.files == 7
    assert found.bytes > 6_000_000
    assert found.allocated < 3_600_000


def test_big_numbers_need_pax():
    """A file of 100 GB and an owner of 2**31 fit into the header."""
    with tarfile.open(fileobj=io.BytesIO(header(Entry("a", "file", size=10**11, uid=2**31))), mode="r|") as read:
        one = read.next()
    assert one is not None
    assert (one.size, one.uid) == (10**11, 2**31)

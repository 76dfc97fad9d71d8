"""Verification at level `content` opens the pool, and compares lists and archives with what was recorded."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from blocks.backup.archive import archive
from blocks.backup.identities import NOBODY, Identities
from blocks.backup.pool_blobs import lines_of
from blocks.backup.pool_content import _index_line, read_pool
from blocks.backup.trees import LocalTree
from blocks.backup.verify import verify_bytes
from blocks.backup.writer import BackupWriter
from compose.stack.backup.archive_format import Totals
from compose.stack.backup.component import Kind
from compose.stack.backup.layout import pool_prefix
from compose.stack.backup.listing import Blob, line_of, parse_blob, parse_filed
from compose.stack.backup.manifest import ComponentRecord, FileRecord, Manifest
from tasks.backup import proving
from tasks.backup.pooled import Listing
from tests.backup_lab import BackupLab, replace_manifest
from tests.fakes.memory_target import MemoryTarget


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BackupLab:
    """A home with one stack; no engine is needed."""
    engine = SimpleNamespace(image=lambda _: None)
    monkeypatch.setattr(proving, "Engine", SimpleNamespace(connect=lambda: engine))
    monkeypatch.setattr(proving, "sweep", lambda _: None)
    return BackupLab(tmp_path)


def content(lab: BackupLab, target: MemoryTarget, manifest: Manifest, keys: Identities = NOBODY) -> proving.Found:
    found = proving.Found()
    assert verify_bytes(lab.shelf(target), manifest.id).problems == ()
    proving.content_of(lab.shelf(target), manifest, keys, found)
    return found


def only(lab: BackupLab, target: MemoryTarget, manifest: Manifest, component: ComponentRecord) -> Manifest:
    """The backup with this component alone, signed anew."""
    manifest = manifest.model_copy(update={"components": (component,)})
    replace_manifest(target, manifest, lab.keyring)
    return manifest


def put(lab: BackupLab, target: MemoryTarget, manifest: Manifest, file: FileRecord, data: bytes) -> FileRecord:
    """Put other bytes into the place of a file of a backup, sealed as it was; its record."""
    writer = BackupWriter({"local": target}, manifest.stack_id, manifest.id, manifest.recipients)
    path = file.path.removesuffix(".age").removesuffix(".zst")
    with writer.file(path, clear="age" not in file.encodings) as sink:
        sink.write(data)
    assert sink.record
    return sink.record


@pytest.mark.parametrize("sealed", [False, True])
def test_blobs_that_hold_something_else_are_found(lab: BackupLab, sealed: bool) -> None:
    """Although every hash of what is stored was rewritten and signed; the next backup writes them anew."""
    target = MemoryTarget("local")
    whole = lab.backup({"local": target}, lab.recipients if sealed else ())
    component = whole.components[1]
    assert component.pool
    good = only(lab, target, whole, component)
    assert content(lab, target, good, lab.keys).problems == []
    blobs = []
    for blob in map(parse_blob, lines_of(target, whole, component.pool.blobs)):
        junk = os.urandom(blob.stored.bytes)
        target.put(pool_prefix(whole.stack_id) + blob.key, junk)
        stored = blob.stored.model_copy(update={"sha256": hashlib.sha256(junk).hexdigest()})
        blobs.append(Blob(key=blob.key, stored=stored))
    record = put(lab, target, whole, component.pool.blobs, b"".join(map(line_of, blobs)))
    pool = component.pool.model_copy(update={"blobs": record})
    forged = only(lab, target, whole, component.model_copy(update={"pool": pool}))
    found = content(lab, target, forged, lab.keys)
    assert len(found.problems) == 3
    assert sorted(found.damaged) == sorted(blob.key for blob in blobs)


def test_a_list_of_files_that_was_not_recorded_is_found(lab: BackupLab) -> None:
    """Its hash is recorded with what the component holds."""
    target = MemoryTarget("local")
    whole = lab.backup({"local": target})
    for tree, expected in (("0" * 64, 1), (pooled_tree(lab), 0)):
        component = whole.components[1].model_copy(update={"fingerprint": {"tree_sha256": tree}})
        assert len(content(lab, target, only(lab, target, whole, component)).problems) == expected


def pooled_tree(lab: BackupLab) -> str:
    """Of the list that the lab writes."""
    target = MemoryTarget("again")
    manifest = lab.backup({"again": target})
    return read_pool(target, manifest, manifest.components[1], NOBODY).tree


def test_the_tree_of_a_pooled_directory_is_read_back(lab: BackupLab) -> None:
    """What a pooled directory's list amounts to is what its lines amount to when they are read back."""
    tree, listing = lab.place / "tree", Listing()
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "file").write_bytes(b"some")
    (tree / "link").symlink_to("below/file")
    os.link(tree / "below" / "file", tree / "second")
    blob = Blob.model_validate({"key": f"clear/ab/{'ab' * 32}", "stored": {"sha256": "cd" * 32, "bytes": 4}})
    made = SimpleNamespace(plain=blob.stored, blob=blob, added=4)
    for entry, _ in LocalTree(tree).walk():
        listing.add(entry, made if entry.kind == "file" else None)
    lines = b"".join(_index_line(parse_filed(line)) for line in listing.files)
    assert hashlib.sha256(lines).hexdigest() == listing.totals.tree


Spoil = Callable[[bytes, bytes], tuple[bytes, bytes]]


def other_byte(tar: bytes, index: bytes) -> tuple[bytes, bytes]:
    return tar.replace(b"content", b"CONTENT"), index


def other_byte_listed(tar: bytes, index: bytes) -> tuple[bytes, bytes]:
    digests = {hashlib.sha256(data).hexdigest().encode() for data in (b"content", b"CONTENT")}
    old = next(one for one in digests if one in index)
    return tar.replace(b"content", b"CONTENT"), index.replace(old, (digests - {old}).pop())


@pytest.mark.parametrize(("spoil", "said"), [(other_byte, "not as its index"), (other_byte_listed, "recorded")])
def test_archives_are_compared_with_what_was_recorded(lab: BackupLab, spoil: Spoil, said: str) -> None:
    """A changed file is found, and so is an index that was changed with it."""
    target, tree, totals, lines = MemoryTarget("local"), lab.place / "tree", Totals(), io.BytesIO()
    tree.mkdir()
    (tree / "file").write_bytes(b"content")
    tar = b"".join(archive([LocalTree(tree)], lines, totals))
    index = lines.getvalue()
    assert json.loads(index.splitlines()[1])["path"] == "file"
    writer = lab.writer({"local": target})
    records = []
    for path, data in (("data/data.tar", tar), ("data/data.index.jsonl", index)):
        with writer.file(path) as sink:
            sink.write(data)
        assert sink.record
        records.append(sink.record)
    made = lab.files(writer).model_copy(
        update={"kind": Kind.VOLUME, "files": tuple(records), "fingerprint": totals.fingerprint()}
    )
    manifest = lab.manifest(writer, made)
    target.put(f"{lab.prefix(manifest.id)}RUNBOOK.md", b"")
    manifest = only(lab, target, manifest, made)
    assert content(lab, target, manifest).problems == []
    files = tuple(
        put(lab, target, manifest, file, data) for file, data in zip(records, spoil(tar, index), strict=True)
    )
    forged = only(lab, target, manifest, made.model_copy(update={"files": files}))
    (problem,) = content(lab, target, forged).problems
    assert said in problem

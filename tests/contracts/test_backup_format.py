"""What the format promises, on a real directory and on the fake that obeys the same contract."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blocks.backup.copying import copy_backup
from blocks.backup.identity import claim, own_identity, signed_identity
from blocks.backup.places import Places
from blocks.backup.pool import PoolWriter
from blocks.backup.pool_blobs import filed_of
from blocks.backup.pool_sweep import sweep_pool
from blocks.backup.reader import read_file
from blocks.backup.rekey import rekey_backup
from blocks.backup.signing import Keyring
from blocks.backup.source import Source
from blocks.backup.verify import verify_bytes
from blocks.home import Home
from blocks.targets.base import Target
from blocks.targets.directory import DirectoryTarget
from compose.stack.backup.layout import backups_prefix, pool_prefix
from compose.stack.backup.manifest import Digest, Manifest
from compose.stack.backup.records import Pinned, Unpinned, Verified
from compose.stack.backup.runbook import runbook
from compose.stack.errors import Failed, OpsError, Refused
from tests.backup_lab import DUMP, BackupLab, new_identity, replace_manifest
from tests.fakes.memory_target import MemoryTarget

LATER = timedelta(days=3)


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BackupLab:
    """A home with one stack; its files are settled after 2 s: nobody writes them through memory."""
    monkeypatch.setattr("blocks.backup.source.SETTLED", 2_000_000_000)
    return BackupLab(tmp_path)


@pytest.fixture(params=["directory", "memory"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Target:
    """A target of each kind."""
    if request.param == "memory":
        return MemoryTarget()
    (tmp_path / "target").mkdir()
    return DirectoryTarget(tmp_path / "target", "directory")


@pytest.fixture(params=[False, True], ids=["clear", "sealed"])
def recipients(request: pytest.FixtureRequest, lab: BackupLab) -> tuple[str, ...]:
    """Encrypted to the lab's key, or not."""
    return lab.recipients if request.param else ()


def contents(target: Target, prefix: str = "") -> dict[str, bytes]:
    return {entry.key: b"".join(target.read(entry.key)) for entry in target.list(prefix)}


def plain(lab: BackupLab, target: Target, manifest: Manifest) -> dict[str, bytes]:
    return {
        file.path: b"".join(read_file(target, manifest.stack_id, manifest.id, file, lab.keys))
        for file in manifest.files
    }


class Breaking(MemoryTarget):
    """Fails at the nth change, and at all after it: a process that was killed there changes nothing more."""

    def __init__(self, name: str = "breaking", after: int = 10**9) -> None:
        super().__init__(name)
        self.left = after

    def _step(self) -> None:
        if self.left <= 0:
            raise Failed("killed here", where=self.name)
        self.left -= 1

    def put(self, key: str, data: bytes) -> None:
        """Counts."""
        self._step()
        super().put(key, data)

    def delete(self, key: str) -> None:
        """Counts."""
        self._step()
        super().delete(key)


# --- writing -----------------------------------------------------------------------------------------------


def test_what_was_saved_is_read_back(lab: BackupLab, target: Target, recipients: tuple[str, ...]) -> None:
    """Manifest, files and pool, and nothing secret in clear."""
    manifest = lab.backup({target.name: target}, recipients)
    shelf = lab.shelf(target)
    assert shelf.ids() == [manifest.id]
    read = shelf.manifest(manifest.id)
    assert read.manifest == manifest
    assert not read.signer.foreign
    assert DUMP in plain(lab, target, manifest).values()
    assert verify_bytes(shelf, manifest.id).passed
    filed = {one.path: one for one in filed_of(target, manifest, manifest.components[1], lab.keys)}
    assert filed["blobs/large"].size == (lab.models / "blobs/large").stat().st_size
    assert filed["blobs/link"].link == "large"
    if recipients:
        everything = b"".join(contents(target).values())
        assert b"CREATE ROLE" not in everything
        assert b"model model" not in everything


def test_the_manifest_is_last(lab: BackupLab, recipients: tuple[str, ...]) -> None:
    """Killed after any change, there is no backup; when there is one, it is whole."""
    whole = MemoryTarget()
    lab.backup({"whole": whole}, recipients)
    for after in range(40):
        target = Breaking(after=after)
        try:
            lab.backup({"breaking": target}, recipients)
        except OpsError:
            assert not [key for key in target.objects if key.endswith("manifest.json")]
            continue
        assert verify_bytes(lab.shelf(target), lab.shelf(target).ids()[0]).passed
        return
    pytest.fail("it never succeeded")


def test_giving_up_leaves_nothing(lab: BackupLab, target: Target, recipients: tuple[str, ...]) -> None:
    """Neither of files that were written nor of one that was being written."""
    writer = lab.writer({target.name: target}, recipients)
    lab.files(writer)

    def dies() -> None:
        with writer.file("redis/dump.rdb") as sink:
            sink.write(os.urandom(3_000_000))
            raise Failed("redis is gone")

    with pytest.raises(Failed, match="gone"):
        dies()
    assert writer.abort() == {}
    assert contents(target, backups_prefix(writer.stack_id)) == {}
    assert target.sweep_uploads(datetime.now(UTC) + LATER) == []


def test_a_secret_does_not_lie_in_clear(lab: BackupLab, target: Target) -> None:
    """It is refused before a byte is written."""
    writer = lab.writer({target.name: target})
    with pytest.raises(Refused, match="in clear"), writer.file("env", secret=True):
        pytest.fail("it was opened")
    sealed = lab.writer({target.name: target}, lab.recipients)
    with pytest.raises(Refused, match="in clear"), sealed.file("env", secret=True, clear=True):
        pytest.fail("it was opened")


def test_a_file_may_be_written_again_but_not_twice_at_once(lab: BackupLab, target: Target) -> None:
    """A component that is tried again replaces its files."""
    writer = lab.writer({target.name: target})
    with writer.file("a") as first:
        first.write(b"one")
        with pytest.raises(Refused, match="same time"), writer.file("a"):
            pass
    with writer.file("a") as second:
        second.write(b"two")
    assert first.record != second.record
    component = lab.files(writer).model_copy(update={"files": (second.record,)})
    manifest = lab.manifest(writer, component)
    writer.finish(manifest, lab.keyring, runbook(manifest))
    assert list(plain(lab, target, manifest).values()) == [b"two"]
    assert verify_bytes(lab.shelf(target), manifest.id).notes == (), "files of no component are removed"


def test_a_target_that_fails_does_not_stop_the_others(lab: BackupLab, target: Target) -> None:
    """Its error is kept, it has no backup, and a copy completes it without the stores."""
    bad = Breaking(after=7)
    manifest = lab.backup({target.name: target, bad.name: bad}, lab.recipients)
    assert lab.shelf(target).ids() == [manifest.id]
    assert lab.shelf(bad).ids() == []
    bad.left = 10**6
    copied = copy_backup(lab.shelf(target), lab.shelf(bad), manifest.id)
    assert copied.files
    assert verify_bytes(lab.shelf(bad), manifest.id).passed
    assert bad.uploads == []


def test_a_manifest_that_names_what_was_not_written_is_refused(lab: BackupLab, target: Target) -> None:
    """Also one that lacks its object on the target by then."""
    writer = lab.writer({target.name: target})
    component = lab.files(writer)
    other = component.files[0].model_copy(update={"path": "else.zst"})
    wrong = lab.manifest(writer, component.model_copy(update={"files": (other,)}))
    with pytest.raises(Refused, match="not written"):
        writer.finish(wrong, lab.keyring, "")
    target.delete(lab.prefix(writer.backup) + component.files[1].path)
    with pytest.raises(Failed, match="is not there although"):
        writer.finish(lab.manifest(writer, component), lab.keyring, "")
    assert lab.shelf(target).ids() == []


# --- reading what was spoiled ------------------------------------------------------------------------------


def flipped(data: bytes, where: str) -> bytes:
    at = {"first": 0, "middle": len(data) // 2, "last": len(data) - 1}[where]
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_flipped_bit_in_any_file_is_found(
    lab: BackupLab, target: Target, recipients: tuple[str, ...], where: str
) -> None:
    """In every file and every blob, with its name; all of them are told, not only the first."""
    manifest = lab.backup({target.name: target}, recipients)
    shelf, prefix = lab.shelf(target), lab.prefix(manifest.id)
    pool = pool_prefix(manifest.stack_id)
    stored = {**{f"{prefix}{f.path}": f.path for f in manifest.files}}
    stored |= {key: f"pool/{key[len(pool) :]}" for key in contents(target, pool)}
    for key, name in stored.items():
        data = b"".join(target.read(key))
        target.put(key, flipped(data, where))
        found = verify_bytes(shelf, manifest.id)
        assert any(problem.startswith((name, "the list of blobs")) for problem in found.problems), name
        assert not found.fact.passed
        target.put(key, data)
    for file in manifest.files:
        target.put(prefix + file.path, flipped(b"".join(target.read(prefix + file.path)), where))
        with pytest.raises(Failed, match=f"{target.name}.*{manifest.id}/{file.path}"):
            list(read_file(target, manifest.stack_id, manifest.id, file, lab.keys))
    assert {file.path for file in manifest.files} <= {
        p.split(":")[0] for p in verify_bytes(shelf, manifest.id).problems
    }


def test_truncated_missing_and_swapped_files_are_found(
    lab: BackupLab, target: Target, recipients: tuple[str, ...]
) -> None:
    """Each by its name, at once."""
    manifest = lab.backup({target.name: target}, recipients)
    prefix, (roles, dump, listing, _) = lab.prefix(manifest.id), manifest.files
    one, other = (b"".join(target.read(prefix + file.path)) for file in (roles, dump))
    target.put(prefix + roles.path, other)
    target.put(prefix + dump.path, one)
    target.put(prefix + listing.path, b"".join(target.read(prefix + listing.path))[:-1])
    target.delete(prefix + "RUNBOOK.md")
    gone = next(iter(contents(target, pool_prefix(manifest.stack_id))))
    target.delete(gone)
    problems = verify_bytes(lab.shelf(target), manifest.id, sample=0.0).problems
    assert len([p for p in problems if "recorded were" in p]) == 3
    assert "RUNBOOK.md: is missing" in problems
    assert any("is missing" in p and gone.rpartition("/")[2] in p for p in problems)


def test_an_edited_manifest_is_refused(lab: BackupLab, target: Target) -> None:
    """Whatever was changed in it, and whoever signed it but us."""
    manifest = lab.backup({target.name: target})
    shelf = lab.shelf(target)
    replace_manifest(target, manifest.model_copy(update={"host": "there"}), lab.keyring, signed=False)
    with pytest.raises(Refused, match="does not hold"):
        shelf.manifest(manifest.id)
    target.delete(f"{lab.prefix(manifest.id)}manifest.json.sig")
    with pytest.raises(Refused, match="not signed"):
        shelf.manifest(manifest.id, trust=True)
    assert shelf.manifests()[1].keys() == {manifest.id}


def test_checksums_that_were_rewritten_and_signed_again_pass_the_bytes(lab: BackupLab, target: Target) -> None:
    """Who holds the key can make any bytes right: only reading them with the store's own tool finds that."""
    manifest = lab.backup({target.name: target})
    prefix, component, file = lab.prefix(manifest.id), manifest.components[0], manifest.components[0].files[1]
    with lab.writer({target.name: target}).file("x") as sink:
        sink.write(b"not a dump")
    assert sink.record
    forged = sink.record.model_copy(update={"path": file.path})
    written = next(key for key in contents(target, backups_prefix(manifest.stack_id)) if key.endswith("/x.zst"))
    target.put(prefix + file.path, b"".join(target.read(written)))
    spoiled = component.model_copy(update={"files": (component.files[0], forged)})
    replace_manifest(target, manifest.model_copy(update={"components": (spoiled,)}), lab.keyring)
    assert verify_bytes(lab.shelf(target), manifest.id).passed
    assert b"".join(read_file(target, manifest.stack_id, manifest.id, forged)) == b"not a dump"


def test_a_manifest_in_another_place_is_refused(lab: BackupLab, target: Target) -> None:
    """A good one with its good signature, copied over another backup's."""
    one, other = lab.backup({target.name: target}), lab.backup({target.name: target})
    for name in ("manifest.json", "manifest.json.sig"):
        target.put(lab.prefix(other.id) + name, b"".join(target.read(lab.prefix(one.id) + name)))
    with pytest.raises(Refused, match="is the manifest of"):
        lab.shelf(target).manifest(other.id)


def test_hostile_files_are_refused_although_they_are_signed(lab: BackupLab, target: Target) -> None:
    """Traversal and bombs in a manifest of a key that we trust."""
    manifest = lab.backup({target.name: target})
    component = manifest.components[0]
    file = component.files[1]
    huge = file.model_copy(update={"plain": Digest(sha256="0" * 64, bytes=2**50)})
    for bad in (file.model_copy(update={"path": "../../x.zst"}), huge):
        spoiled = component.model_copy(update={"files": (bad,)})
        replace_manifest(target, manifest.model_copy(update={"components": (spoiled,)}), lab.keyring)
        with pytest.raises(Refused, match="refused"):
            lab.shelf(target).manifest(manifest.id, trust=True)


def test_a_foreign_backup_needs_trust(lab: BackupLab, target: Target, tmp_path: Path) -> None:
    """Without it refused by the key's name; with it read, and told as foreign."""
    manifest = lab.backup({target.name: target})
    elsewhere = Home(tmp_path / "elsewhere")
    elsewhere.make()
    shelf = lab.shelf(target).__class__(target, manifest.stack_id, Keyring.of(elsewhere))
    with pytest.raises(Refused, match="not trusted here"):
        shelf.manifest(manifest.id)
    with pytest.raises(Refused, match="not trusted here"):
        verify_bytes(shelf, manifest.id)
    assert shelf.manifest(manifest.id, trust=True).signer.foreign
    assert verify_bytes(shelf, manifest.id, trust=True).foreign
    assert signed_identity(target, manifest.stack_id, shelf.keyring, trust=True).stack == "light"
    with pytest.raises(Refused):
        signed_identity(target, manifest.stack_id, shelf.keyring)


@pytest.mark.parametrize("name", ["..", "20261124T000000Z-0123abcd/../x", "x\n", "/etc"])
def test_ids_that_are_none_reach_no_target(lab: BackupLab, target: Target, name: str) -> None:
    """Refused before anything is read or removed."""
    shelf = lab.shelf(target)
    for work in (shelf.manifest, shelf.records, shelf.delete_backup):
        with pytest.raises(Refused):
            work(name)


# --- later facts -------------------------------------------------------------------------------------------


def test_facts_are_appended_and_signed(lab: BackupLab, target: Target) -> None:
    """Each in a file of its own; what was there stays as it is."""
    manifest = lab.backup({target.name: target})
    shelf = lab.shelf(target)
    shelf.append_record(manifest.id, Verified(level="content"))
    before = contents(target)
    shelf.append_record(manifest.id, Pinned(reason="audit"))
    after = contents(target)
    assert {key: after[key] for key in before} == before
    facts = shelf.facts(manifest.id)
    assert (facts.verified, facts.pinned, facts.doubtful) == ("content", "audit", ())


def test_the_last_word_counts_though_the_clock_went_back(lab: BackupLab, target: Target) -> None:
    """A pin after an older unpin, and damage found after an older pass, by a clock that was ahead then."""
    manifest = lab.backup({target.name: target})
    shelf, ahead = lab.shelf(target), datetime.now(UTC) + LATER
    shelf.append_record(manifest.id, Unpinned(), at=ahead)
    shelf.append_record(manifest.id, Verified(level="content"), at=ahead)
    shelf.append_record(manifest.id, Pinned(reason="migration"))
    shelf.append_record(manifest.id, Verified(level="bytes", passed=False, problems=("gone",)))
    facts = shelf.facts(manifest.id)
    assert (facts.pinned, facts.damaged) == ("migration", ("gone",))


def test_a_record_that_nobody_trusted_signed_counts_for_nothing(lab: BackupLab, target: Target) -> None:
    """Forged, edited, or copied from beside another backup: it is told, and the backup is kept for it."""
    one, other = lab.backup({target.name: target}), lab.backup({target.name: target})
    shelf = lab.shelf(target)
    shelf.append_record(one.id, Verified(level="content"))
    shelf.append_record(other.id, Pinned(reason="audit"))
    for key, data in contents(target, f"{lab.prefix(other.id)}records/").items():
        target.put(key.replace(other.id, one.id), data)
    target.put(f"{lab.prefix(one.id)}records/20261124T000000Z-00000000.json", b"{}")
    facts = shelf.facts(one.id)
    assert (facts.verified, facts.pinned) == ("content", None)
    assert len(facts.doubtful) == 2


# --- removing ----------------------------------------------------------------------------------------------


def test_half_a_removal_is_no_backup_and_is_swept(lab: BackupLab) -> None:
    """The manifest goes first; the rest is found later by its age."""
    for after in range(20):
        target = Breaking()
        manifest = lab.backup({"breaking": target})
        lab.shelf(target).append_record(manifest.id, Pinned(reason="x"))
        target.left = after
        try:
            lab.shelf(target).delete_backup(manifest.id)
        except Failed:
            target.left = 10**6
            shelf = lab.shelf(target)
            assert (shelf.ids() == []) == (after > 0)
            now = datetime.now(UTC)
            assert shelf.sweep_leftovers(now - timedelta(hours=1)) == []
            assert shelf.sweep_leftovers(now + LATER, keep=[manifest.id]) == []
            assert shelf.sweep_leftovers(now + LATER) == ([manifest.id] if after else [])
            continue
        assert contents(target, backups_prefix(manifest.stack_id)) == {}
        return
    pytest.fail("it never succeeded")


# --- the pool ----------------------------------------------------------------------------------------------


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, lab: BackupLab) -> Callable[[], int]:
    """How many files were opened since the last call."""
    import blocks.backup.source as source

    opened: list[Path] = []
    real = source.read_path

    def counted(path: Path) -> Iterator[bytes]:
        opened.append(path)
        return real(path)

    monkeypatch.setattr(source, "read_path", counted)

    def since() -> int:
        count = len(opened)
        opened.clear()
        return count

    settle(lab)
    return since


def settle(lab: BackupLab) -> None:
    """Until a change of the files would show in their times."""
    youngest = max(path.lstat().st_ctime for path in lab.models.rglob("*"))
    while time.time() < youngest + 2.1:
        time.sleep(0.05)


def test_the_second_backup_copies_and_reads_nothing(
    lab: BackupLab, target: Target, recipients: tuple[str, ...], reads: Callable[[], int]
) -> None:
    """Unless it is asked to read again; then it copies nothing all the same."""
    first = lab.backup({target.name: target}, recipients).components[1].pool
    assert first
    assert first.new_blobs == 3
    assert reads() > 0
    blobs = contents(target, pool_prefix(lab.identity.stack_id))
    for reread, expected in ((False, 0), (True, 3)):
        again = lab.backup({target.name: target}, recipients, reread=reread).components[1].pool
        assert again
        assert (again.new_blobs, again.new_bytes, again.bytes) == (0, 0, first.bytes)
        assert reads() == expected
        assert contents(target, pool_prefix(lab.identity.stack_id)) == blobs


def test_a_lost_index_copies_nothing(lab: BackupLab, target: Target, recipients: tuple[str, ...]) -> None:
    """What it knew is taken from the lists of earlier backups."""
    lab.backup({target.name: target}, recipients)
    lab.index.unlink()
    pool = lab.backup({target.name: target}, recipients).components[1].pool
    assert pool
    assert pool.new_blobs == 0


def test_a_changed_file_is_read_again(lab: BackupLab, target: Target, reads: Callable[[], int]) -> None:
    """Though its size and its time of change were set back."""
    lab.backup({target.name: target})
    path = lab.models / "blobs/noise"
    path.write_bytes(os.urandom(path.stat().st_size))
    os.utime(path, ns=(10**18, 10**18))
    pool = lab.backup({target.name: target}).components[1].pool
    assert pool
    assert pool.new_blobs == 1


def test_another_set_of_recipients_has_blobs_of_its_own(lab: BackupLab, target: Target) -> None:
    """What one can open another need not."""
    lab.backup({target.name: target}, lab.recipients)
    pool = lab.backup({target.name: target}, new_identity().recipients).components[1].pool
    assert pool
    assert pool.new_blobs == 3


def test_a_second_target_gets_the_same_bytes(lab: BackupLab, target: Target, recipients: tuple[str, ...]) -> None:
    """One manifest describes both: what is there is copied as it is stored, not encrypted anew."""
    lab.backup({target.name: target}, recipients)
    second = MemoryTarget("second")
    both = {target.name: target, "second": second}
    manifest = lab.backup(both, recipients)
    prefix = pool_prefix(lab.identity.stack_id)
    assert contents(second, prefix) == contents(target, prefix)
    assert all(verify_bytes(lab.shelf(one), manifest.id).passed for one in both.values())


def test_targets_that_grew_apart_are_brought_together(lab: BackupLab, target: Target) -> None:
    """Both have the blob, encrypted each on its own; older backups stay right, and the new one is on both."""
    second = MemoryTarget("second")
    older = [(one, lab.backup({one.name: one}, lab.recipients)) for one in (target, second)]
    manifest = lab.backup({target.name: target, "second": second}, lab.recipients)
    for one, old in older:
        assert verify_bytes(lab.shelf(one), old.id).passed
        assert verify_bytes(lab.shelf(one), manifest.id).passed


def test_a_blob_is_what_its_name_says(lab: BackupLab, target: Target, recipients: tuple[str, ...]) -> None:
    """A file whose name promises another hash is refused, and nothing of it is in the pool."""
    writer = lab.writer({target.name: target}, recipients)
    pool = PoolWriter(writer, lab.keyring, lab.index)
    with pytest.raises(Failed, match="holds other bytes"):
        pool.put(Source.of(lab.models / "blobs/noise", sha256="0" * 64))
    pool.close()
    assert contents(target, pool_prefix(writer.stack_id)) == {}


def test_big_files_that_are_stored_as_they_are_go_on_where_they_stopped(
    lab: BackupLab, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are sent as files, on every target; one that refuses is left out, and a wrong name is refused."""
    monkeypatch.setattr("blocks.backup.pool.RESUMABLE", 1000)
    bad = Breaking()
    writer = lab.writer({target.name: target, "breaking": bad})
    pool = PoolWriter(writer, lab.keyring, lab.index)
    source = Source.of(lab.models / "blobs/noise")
    bad.left = 0
    put = pool.put(source, compress=False)
    assert put.blob.stored == put.plain
    assert list(writer.errors) == ["breaking"]
    key = pool_prefix(writer.stack_id) + put.blob.key
    assert b"".join(target.read(key)) == (lab.models / "blobs/noise").read_bytes()
    assert pool.put(source).added == 0
    with pytest.raises(Failed):
        pool.put(Source.of(lab.models / "blobs/large", sha256="0" * 64), compress=False)
    pool.close()
    assert list(contents(target, pool_prefix(writer.stack_id))) == [key]


def test_big_files_are_read_once_where_the_target_can_name_them_at_the_end(
    lab: BackupLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the pool may hold them: then only their hash is wanted. A second directory gets a copy."""
    monkeypatch.setattr("blocks.backup.pool.RESUMABLE", 1000)
    places = {name: tmp_path / name for name in ("one", "two")}
    for place in places.values():
        place.mkdir()
    writer = lab.writer({name: DirectoryTarget(place, name) for name, place in places.items()})
    pool, noise = PoolWriter(writer, lab.keyring, lab.index), lab.models / "blobs/noise"
    hashed: list[str] = []
    read = Source.hashed
    monkeypatch.setattr(Source, "hashed", lambda source: hashed.append(source.name) or read(source))
    put = pool.put(Source.of(noise), compress=False)
    assert (hashed, put.added, put.plain.sha256) == (
        [],
        noise.stat().st_size,
        hashlib.sha256(noise.read_bytes()).hexdigest(),
    )
    for place in places.values():
        (blob,) = (
            path for path in place.rglob("pool/**/*") if path.is_file() and path.stat().st_size == put.added
        )
        assert blob.read_bytes() == noise.read_bytes()
    same = lab.models / "blobs/moved"
    shutil.copyfile(noise, same)
    again = pool.put(Source.of(same), compress=False)
    assert (hashed, again.added, again.blob) == ([str(same)], 0, put.blob)
    pool.close()


@pytest.mark.parametrize("resumable", [1000, 10**9])
def test_a_file_that_changes_while_it_is_saved_is_no_blob(
    lab: BackupLab, target: Target, monkeypatch: pytest.MonkeyPatch, resumable: int
) -> None:
    """It is refused, nothing of it is in the pool, and no target is blamed for it."""
    monkeypatch.setattr("blocks.backup.pool.RESUMABLE", resumable)
    path = lab.models / "blobs/noise"
    source = Source.of(path)
    path.write_bytes(os.urandom(2000))
    writer = lab.writer({target.name: target, "second": MemoryTarget("second")})
    pool = PoolWriter(writer, lab.keyring, lab.index)
    with pytest.raises(Failed, match="was changed while"):
        pool.put(source)
    assert writer.errors == {}
    pool.close()
    assert contents(target, pool_prefix(lab.identity.stack_id)) == {}


def test_a_blob_that_is_gone_by_the_end_is_seen(lab: BackupLab, target: Target) -> None:
    """Before the manifest: then there is no backup."""
    writer = lab.writer({target.name: target})
    pool = PoolWriter(writer, lab.keyring, lab.index)
    manifest = lab.manifest(writer, lab.pooled(writer, pool))
    target.delete(next(iter(contents(target, pool_prefix(writer.stack_id)))))
    with pytest.raises(Failed, match="blobs are not in its pool"):
        writer.finish(manifest, lab.keyring, "")
    pool.close()
    assert lab.shelf(target).ids() == []


def test_images_are_known_by_their_id(lab: BackupLab, target: Target, recipients: tuple[str, ...]) -> None:
    """Their bytes differ each time they are saved; once is enough."""
    made = 0

    def save() -> Iterator[bytes]:
        nonlocal made
        made += 1
        yield os.urandom(5000)

    writer = lab.writer({target.name: target}, recipients)
    pool = PoolWriter(writer, lab.keyring, lab.index)
    image = Source(name="image", size=0, open=save, address="ab" * 32)
    one, other = pool.put(image, compress=True), pool.put(image, compress=True)
    pool.close()
    assert (one.blob, one.plain) == (other.blob, other.plain)
    assert (made, other.added) == (1, 0)


def test_the_sweep_takes_what_is_old_and_named_by_nobody(lab: BackupLab, target: Target) -> None:
    """Nothing young, and nothing at all while a manifest cannot be read or a backup may be under way."""
    manifest, other = lab.backup({target.name: target}), lab.backup({target.name: target}, lab.recipients)
    shelf, now = lab.shelf(target), datetime.now(UTC)
    shelf.delete_backup(other.id)
    assert sweep_pool(shelf, now).removed == ()
    assert len(sweep_pool(shelf, now + LATER, apply=False).removed) == 3
    good = b"".join(target.read(f"{lab.prefix(manifest.id)}manifest.json"))
    target.put(f"{lab.prefix(manifest.id)}manifest.json", good + b" ")
    assert "cannot be read" in sweep_pool(shelf, now + LATER).held
    target.put(f"{lab.prefix(manifest.id)}manifest.json", good)
    swept = sweep_pool(shelf, now + LATER)
    assert (len(swept.removed), swept.kept) == (3, 3)
    assert verify_bytes(shelf, manifest.id).passed
    lab.files(lab.writer({target.name: target}))
    assert "may still be written" in sweep_pool(shelf, now).held


# --- copying -----------------------------------------------------------------------------------------------


def test_a_copy_goes_on_where_it_stopped(lab: BackupLab, target: Target, recipients: tuple[str, ...]) -> None:
    """Killed after any change there is no backup at the destination; the next try copies only the rest."""
    manifest = lab.backup({target.name: target}, recipients)
    lab.shelf(target).append_record(manifest.id, Pinned(reason="audit"))
    lab.shelf(target).append_record(manifest.id, Verified(level="bytes", passed=False))
    there = Breaking()
    for step in range(20):
        there.left = 1
        try:
            copied = copy_backup(lab.shelf(target), lab.shelf(there), manifest.id)
        except Failed:
            assert len(there.objects) == step + 1
            assert len([k for k in there.objects if k.endswith("manifest.json")]) == (step + 1 >= 10)
            there.objects = {k: v for k, v in there.objects.items() if not k.endswith(("RUNBOOK.md", ".sig"))}
            if step >= 6:
                there.left = 100
                copied = copy_backup(lab.shelf(target), lab.shelf(there), manifest.id)
                break
    assert (copied.files, copied.there, copied.records) == (0, 7, 1)
    assert verify_bytes(lab.shelf(there), manifest.id).passed
    assert lab.shelf(there).facts(manifest.id).pinned == "audit"
    assert lab.shelf(there).facts(manifest.id).damaged == ()


def test_a_copy_is_vouched_for_only_where_all_of_it_was_read(lab: BackupLab, target: Target) -> None:
    """Blobs that another backup there names are taken by their size: what was proven stays at the source.

    That the rows are wrong is so of every copy.
    """
    one, two = lab.backup({target.name: target}), lab.backup({target.name: target})
    there = MemoryTarget("there")
    for manifest in (one, two):
        lab.shelf(target).append_record(manifest.id, Verified(level="content"))
    copy_backup(lab.shelf(target), lab.shelf(there), one.id)
    assert lab.shelf(there).facts(one.id).verified == "content"
    copy_backup(lab.shelf(target), lab.shelf(there), two.id)
    assert lab.shelf(there).facts(two.id).verified == "none"
    wrong = Verified(level="content", passed=False, problems=("table orders",))
    lab.shelf(target).append_record(two.id, wrong)
    copy_backup(lab.shelf(target), lab.shelf(there), two.id)
    assert lab.shelf(there).facts(two.id).damaged == ("table orders",)


def test_a_damaged_backup_is_not_copied(lab: BackupLab, target: Target) -> None:
    """What is wrong at the source is seen on the way."""
    manifest = lab.backup({target.name: target})
    key = lab.prefix(manifest.id) + manifest.files[1].path
    target.put(key, flipped(b"".join(target.read(key)), "middle"))
    there = MemoryTarget("there")
    with pytest.raises(Failed, match="was changed"):
        copy_backup(lab.shelf(target), lab.shelf(there), manifest.id)
    assert lab.shelf(there).ids() == []


# --- rekeying ----------------------------------------------------------------------------------------------


def test_another_recipient_can_be_added_and_one_removed(lab: BackupLab, target: Target) -> None:
    """Old backups and their blobs too; who was removed opens nothing of the new files."""
    second = MemoryTarget("second")
    manifest = lab.backup({target.name: target, "second": second}, lab.recipients)
    shelves, new = [lab.shelf(target), lab.shelf(second)], new_identity()
    both = tuple(sorted((*lab.recipients, *new.recipients)))
    now = datetime.now(UTC)
    for wanted, keys in ((both, lab.keys), (new.recipients, new)):
        done = rekey_backup(shelves, manifest.id, wanted, keys, now, lab.index)
        assert sorted(done.done) == sorted((target.name, "second"))
    read = shelves[0].manifest(manifest.id).manifest
    assert read.recipients == new.recipients
    assert len([note for note in read.notes if note.startswith("rekeyed")]) == 2
    for shelf in shelves:
        found = verify_bytes(shelf, manifest.id)
        assert (found.problems, found.notes) == ((), ())
    old, lab.keys = lab.keys, new
    assert DUMP in plain(lab, target, read).values()
    file = next(file for file in read.files if file.encodings == ("zstd", "age"))
    with pytest.raises(Failed, match="none of the keys"):
        list(read_file(target, read.stack_id, read.id, file, old))
    assert len(sweep_pool(shelves[0], now + LATER).removed) == 6
    assert verify_bytes(shelves[0], manifest.id).passed


def test_rekeying_that_is_killed_leaves_a_readable_backup(lab: BackupLab) -> None:
    """After any change; the next try finishes it, and leaves nothing of the old files."""
    new = new_identity()
    for after in range(60):
        target = Breaking()
        manifest = lab.backup({"breaking": target}, lab.recipients)
        target.left = after
        shelf, now = lab.shelf(target), datetime.now(UTC)
        try:
            done = rekey_backup([shelf], manifest.id, new.recipients, lab.keys, now, lab.index)
            finished = not done.errors
        except Failed:
            finished = False
        read = shelf.manifest(manifest.id).manifest
        assert verify_bytes(shelf, manifest.id).passed, after
        lab_keys = new if read.recipients == new.recipients else lab.keys
        for file in read.files:
            assert list(read_file(target, read.stack_id, read.id, file, lab_keys))
        target.left = 10**6
        again = rekey_backup([shelf], manifest.id, new.recipients, lab_keys, now, lab.index)
        assert again.done == ["breaking"]
        assert verify_bytes(shelf, manifest.id).notes == ()
        if finished:
            return
    pytest.fail("it never succeeded")


def test_rekeying_wants_a_reader(lab: BackupLab, target: Target) -> None:
    """Neither to nobody, nor what was never encrypted, nor without the key."""
    clear, sealed = lab.backup({target.name: target}), lab.backup({target.name: target}, lab.recipients)
    shelf, now, new = lab.shelf(target), datetime.now(UTC), new_identity()
    with pytest.raises(Refused, match="nobody could read"):
        rekey_backup([shelf], sealed.id, (), lab.keys, now, lab.index)
    with pytest.raises(Refused, match="not encrypted"):
        rekey_backup([shelf], clear.id, new.recipients, lab.keys, now, lab.index)
    with pytest.raises(Failed, match="none of the keys"):
        rekey_backup([shelf], sealed.id, new.recipients, new, now, lab.index)
    assert verify_bytes(shelf, sealed.id).passed


# --- who a target belongs to -------------------------------------------------------------------------------


def test_two_hosts_on_one_prefix_are_refused(lab: BackupLab, target: Target, tmp_path: Path) -> None:
    """By the other one's name; several stacks of one host share it."""
    claim(target, lab.identity, lab.keyring)
    claim(target, lab.identity, lab.keyring)
    claim(target, own_identity(lab.home, "stores", lab.keyring), lab.keyring)
    before = contents(target)
    other = Home(tmp_path / "other")
    other.make()
    keys = Keyring.of(other)
    theirs = own_identity(other, "light", keys)
    assert theirs.stack_id != lab.identity.stack_id
    with pytest.raises(Refused, match="another installation"):
        claim(target, theirs, keys)
    cloned = lab.identity.model_copy(update={"machine": "0" * 32, "host": "clone"})
    with pytest.raises(Refused, match="another host"):
        claim(target, cloned, lab.keyring)
    assert contents(target) == before
    claim(target, theirs, keys, adopt=True)
    claim(target, theirs, keys)
    claim(target, own_identity(other, "stores", keys), keys)
    with pytest.raises(Refused, match="another installation"):
        claim(target, lab.identity, lab.keyring)
    claim(target, lab.identity, lab.keyring, adopt=True)
    claim(target, lab.identity, lab.keyring)
    with pytest.raises(Refused, match="another installation"):
        claim(target, theirs, keys)
    assert signed_identity(target, theirs.stack_id, keys) == theirs


def test_a_place_that_was_ours_and_is_empty_is_not_filled(lab: BackupLab, target: Target) -> None:
    """A disk that is not mounted; a new one is taken when somebody says so, once."""
    places = Places.of(lab.home, "light")
    claim(target, lab.identity, lab.keyring, places=places)
    claim(target, lab.identity, lab.keyring, places=places)
    for key in contents(target):
        target.delete(key)
    with pytest.raises(Failed, match="not mounted"):
        claim(target, lab.identity, lab.keyring, places=Places.of(lab.home, "light"))
    assert contents(target) == {}
    claim(target, lab.identity, lab.keyring, places=places, adopt=True)
    claim(target, lab.identity, lab.keyring, places=places)


def test_a_stacks_identity_is_made_once(lab: BackupLab) -> None:
    """The next run finds it."""
    assert own_identity(lab.home, "light", lab.keyring) == lab.identity

"""Backups of every schema version that there ever was stay readable."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from blocks.backup.identities import read_identities
from blocks.backup.identity import identities, signed_identity
from blocks.backup.pool_blobs import filed_of
from blocks.backup.reader import read_file
from blocks.backup.shelf import Shelf
from blocks.backup.signing import Keyring
from blocks.backup.verify import verify_bytes
from blocks.home import Home
from blocks.targets.directory import DirectoryTarget
from compose.stack.backup.manifest import SCHEMA
from compose.stack.errors import Refused
from tests.backup_lab import DUMP, GLOBALS

GOLDEN = Path(__file__).parents[2] / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.glob("schema-*"))


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A copy, since nothing may change the golden one."""
    return Path(shutil.copytree(GOLDEN / str(request.param), tmp_path / "golden"))


def test_there_is_one_for_each_schema() -> None:
    """Up to the current one."""
    assert [f"schema-{number}" for number in range(1, SCHEMA + 1)] == VERSIONS


def test_it_is_read(golden: Path) -> None:
    """Manifests, records, files in clear and encrypted, and the pool."""
    target = DirectoryTarget(golden / "target", "golden")
    keyring, keys = Keyring.of(Home(golden / "keyring")), read_identities(str(golden / "identity.txt"))
    (stack,) = identities(target)
    assert signed_identity(target, stack.stack_id, keyring).stack == "light"
    shelf = Shelf(target, stack.stack_id, keyring)
    clear, sealed = shelf.ids()
    assert shelf.facts(clear).pinned == "golden"
    assert shelf.facts(sealed).verified == "content"
    for backup in (clear, sealed):
        assert verify_bytes(shelf, backup).passed
        manifest = shelf.manifest(backup).manifest
        data = [b"".join(read_file(target, stack.stack_id, backup, file, keys)) for file in manifest.files]
        assert data[:2] == [GLOBALS, DUMP]
        filed = list(filed_of(target, manifest, manifest.components[1], keys))
        assert {one.path for one in filed} >= {"blobs", "blobs/large", "manifests/latest", "blobs/link"}


def test_it_is_foreign_without_its_key(golden: Path, tmp_path: Path) -> None:
    """Another home reads it only when told to trust it."""
    target = DirectoryTarget(golden / "target", "golden")
    home = Home(tmp_path / "home")
    home.make()
    (stack,) = identities(target)
    shelf = Shelf(target, stack.stack_id, Keyring.of(home))
    with pytest.raises(Refused, match="not trusted here"):
        shelf.manifest(shelf.ids()[0])
    assert all(shelf.manifest(backup, trust=True).signer.foreign for backup in shelf.ids())

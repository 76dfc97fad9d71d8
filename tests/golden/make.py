"""Makes the golden backup of the current schema: `python -m tests.golden.make`, once for each version."""

from __future__ import annotations

import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyrage

from blocks.backup.identities import parse_identities
from blocks.home import Home
from blocks.targets.directory import DirectoryTarget
from compose.stack.backup.manifest import SCHEMA
from compose.stack.backup.records import Pinned, Verified
from tests.backup_lab import BackupLab

HERE = Path(__file__).parent


def make(place: Path) -> None:
    """Make a clear and an encrypted backup, each with records, and the throw-away keys."""
    place.mkdir()
    secret = pyrage.x25519.Identity.generate()
    (place / "identity.txt").write_text(f"{secret}\n")
    with tempfile.TemporaryDirectory() as scratch:
        lab = BackupLab(Path(scratch), parse_identities(str(secret).encode(), where="golden"))
        (place / "target").mkdir()
        target = DirectoryTarget(place / "target", "golden")
        clear = lab.backup({"golden": target}, at=datetime(2026, 11, 24, 3, tzinfo=UTC))
        sealed = lab.backup({"golden": target}, lab.recipients, at=datetime(2026, 11, 25, 3, tzinfo=UTC))
        lab.shelf(target).append_record(clear.id, Pinned(reason="golden"), by="make")
        lab.shelf(target).append_record(sealed.id, Verified(level="content"), by="make")
        keys = Home(place / "keyring")
        keys.make()
        shutil.copy(lab.home.path / "keys" / "backup-signing.key", keys.path / "keys" / "backup-signing.key")


if __name__ == "__main__":
    wanted = HERE / f"schema-{SCHEMA}"
    if wanted.exists():
        sys.exit(f"{wanted} is there and is never made again")
    make(wanted)

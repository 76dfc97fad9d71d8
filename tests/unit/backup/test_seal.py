"""What a backup puts on record about itself when it is done."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from blocks.backup.pool import PoolWriter
from tasks.backup import seal
from tests.backup_lab import BackupLab
from tests.fakes.memory_target import MemoryTarget


def test_only_what_was_read_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first backup writes all its blobs; the second only names them, and they may be damaged by now."""
    lab, target = BackupLab(tmp_path), MemoryTarget("local")
    for expected in ("content", "none"):
        writer = lab.writer({"local": target})
        pool = PoolWriter(writer, lab.keyring, lab.index)
        components = (lab.files(writer), lab.pooled(writer, pool))
        manifest = lab.manifest(writer, *(one.model_copy(update={"checked": "content"}) for one in components))
        monkeypatch.setattr(seal, "manifest_of", lambda _, manifest=manifest: manifest)
        begun = SimpleNamespace(
            saver=SimpleNamespace(records={"all": components}),
            work=SimpleNamespace(journal=lambda *_, **__: None),
            request=SimpleNamespace(verify="content"),
            identifier=manifest.id,
            identity=lab.identity,
            keyring=lab.keyring,
            writer=writer,
            pool=pool,
            unreachable={},
        )
        (state,) = seal.seal(cast(Any, begun))
        pool.close()
        assert state.ok
        assert lab.shelf(target).facts(manifest.id).verified == expected

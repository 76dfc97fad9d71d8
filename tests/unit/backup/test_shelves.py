"""Looking at all targets: what lies there and is no backup stops nobody."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from compose.stack.backup.ids import is_id
from compose.stack.request import StackRef
from tasks.backup import shelves
from tests.backup_lab import BackupLab
from tests.fakes.memory_target import MemoryTarget

STRANGER = "20261332T031500Z-00000000"
"""Looks like an id, of a day that there is not."""


def test_an_id_names_a_moment() -> None:
    """A thirteenth month has none."""
    assert is_id("20261124T031500Z-9f86d081")
    assert not is_id(STRANGER)
    assert not is_id("20261124T031500Z-9f86d081/..")


def test_what_is_no_backup_is_named_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backups beside it are listed, chosen and judged as ever."""
    lab, target = BackupLab(tmp_path), MemoryTarget("local")
    made = lab.backup({"local": target})
    for name in (f"{STRANGER}/manifest.json", "notes.txt"):
        target.put(f"{lab.identity.stack_id}/backups/{name}", b"{}")
    opened = SimpleNamespace(found=SimpleNamespace(name="light"))
    monkeypatch.setattr(shelves, "open_stack", lambda home, ref: opened)
    monkeypatch.setattr(shelves, "configured", lambda home, to, beside=False: (target,))
    found = shelves.gather(lab.home, StackRef())
    assert found.chosen("last") == made.id
    assert [view.id for view in found.views] == [made.id]
    assert found.problems == ()
    assert [note.split(": ")[1].split("'")[1] for note in found.notes] == [STRANGER, "notes.txt"]

"""Looking at all targets: what lies there and is no backup stops nobody."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from blocks.backup.places import Places
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


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> MemoryTarget:
    """The one that the settings name, of a stack that is found without an engine."""
    target, opened = MemoryTarget("local"), SimpleNamespace(found=SimpleNamespace(name="light"))
    monkeypatch.setattr(shelves, "open_stack", lambda home, ref: opened)
    monkeypatch.setattr(shelves, "configured", lambda home, to, **_: (target,))
    return target


def test_what_is_no_backup_is_named_and_left_alone(tmp_path: Path, target: MemoryTarget) -> None:
    """The backups beside it are listed, chosen and judged as ever."""
    lab = BackupLab(tmp_path)
    made = lab.backup({"local": target})
    for name in (f"{STRANGER}/manifest.json", "notes.txt"):
        target.put(f"{lab.identity.stack_id}/backups/{name}", b"{}")
    found = shelves.gather(lab.home, StackRef())
    assert found.chosen("last") == made.id
    assert [view.id for view in found.views] == [made.id]
    assert found.problems == ()
    assert [note.split(": ")[1].split("'")[1] for note in found.notes] == [STRANGER, "notes.txt"]


def test_a_place_that_was_ours_and_is_empty_is_a_problem(tmp_path: Path, target: MemoryTarget) -> None:
    """Nobody takes a disk that is not mounted for one without backups: whoever looks is told, and alerted."""
    lab = BackupLab(tmp_path)
    lab.backup({"local": target})
    Places.of(lab.home, "light").add(target.origin)
    assert shelves.gather(lab.home, StackRef()).problems == ()
    target.objects.clear()
    found = shelves.gather(lab.home, StackRef())
    assert "is it not mounted?" in found.problems[0]
    assert not found.freshness.good

"""Letting go knows what every target knows: what cannot be judged is not removed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blocks.engine import Engine
from blocks.targets.directory import DirectoryTarget
from compose.stack.backup.outcome import WorkReport
from compose.stack.backup.records import Verified
from compose.stack.backup.request import ExpireRequest
from compose.stack.errors import Exit, Failed, Refused
from tasks.backup import keeping, shelves
from tasks.steps import Plainly
from tests.backup_lab import BackupLab

NOW = datetime.now(UTC)


class Two:
    """Three backups on two targets, the oldest proven furthest on `far`."""

    def __init__(self, place: Path, patch: pytest.MonkeyPatch) -> None:
        self.lab, self.near, self.far = BackupLab(place), place / "near", place / "far"
        for directory in (self.near, self.far):
            directory.mkdir()
        self.targets = {
            one.name: one for one in (DirectoryTarget(self.near, "near"), DirectoryTarget(self.far, "far"))
        }
        made = [self.lab.backup(self.targets, at=NOW - timedelta(hours=hours)) for hours in (3, 2, 1)]
        self.ids = [one.id for one in made]
        self.lab.shelf(self.targets["far"]).append_record(self.ids[0], Verified(level="content"))
        project: Any = SimpleNamespace(project=f"t-expiry-{place.name}", found=SimpleNamespace(name="light"))
        for module in (keeping, shelves):
            patch.setattr(module, "open_stack", lambda home, request: project)
        patch.setattr(Engine, "connect", lambda: SimpleNamespace(id="t-expiry"))
        patch.setenv("OPS_BACKUP_TARGETS", f"near={self.near} far={self.far}")
        patch.setenv("OPS_BACKUP_KEEP", "last=1,minimum=1")

    def expire(self, **how: Any) -> WorkReport:
        """What became of it."""
        request = ExpireRequest(files=["x.yml"], apply=True, **how)
        return keeping.expire_backups(request, self.lab.home, Plainly())

    def left(self, target: str) -> list[str]:
        """What lies there."""
        return self.lab.shelf(self.targets[target]).ids()


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Two:
    return Two(tmp_path, monkeypatch)


def test_expiry_of_one_target_knows_what_the_others_know(two: Two) -> None:
    """What is proven best elsewhere stays, and the others are not touched."""
    done = two.expire(to=["near"])
    assert (done.exit_code, {row["target"] for row in done.rows}) == (Exit.DONE, {"near"})
    assert two.left("near") == [two.ids[0], two.ids[2]]
    assert two.left("far") == two.ids


@pytest.mark.parametrize("to", [[], ["near"]])
def test_nothing_goes_while_a_target_does_not_answer(two: Two, to: list[str]) -> None:
    """Nobody knows what it would protect."""
    two.far.rename(two.far.with_name("away"))
    done = two.expire(to=to)
    assert done.exit_code == Exit.FAILED
    assert any("near: held" in error and "target far" in error for error in done.errors)
    assert two.left("near") == two.ids


def test_what_cannot_be_read_elsewhere_stays(two: Two) -> None:
    """It may be the best one."""
    far = two.targets["far"]
    far.put(f"{two.lab.prefix(two.ids[1])}manifest.json", b"{}")
    two.expire(to=["near"])
    assert two.left("near") == two.ids


def test_a_drop_holds_expiry_until_it_is_accepted(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is put on record, with the reason, on every target; where nothing shrank there is nothing to accept."""
    with pytest.raises(Refused, match="nothing has shrunk"):
        two.expire(accept_drop="cleaned up")
    monkeypatch.setattr("compose.stack.backup.freshness.SMALL", 1)
    monkeypatch.setattr("tests.backup_lab.DUMP", b"x" * 1000)
    small = two.lab.backup(two.targets)
    held = two.expire()
    assert "postgres shrank by" in " ".join(held.errors)
    assert "--accept-drop" in " ".join(held.errors)
    assert two.left("near") == [*two.ids, small.id]
    assert two.expire(accept_drop="cleaned up").exit_code == Exit.DONE
    assert two.left("near") == [two.ids[0], small.id]
    assert two.lab.shelf(two.targets["far"]).facts(small.id).accepted == "cleaned up"


def test_the_last_backup_is_none_of_the_future(two: Two) -> None:
    """It would be the last one for a year: nothing is removed meanwhile, and what is meant by `last` is told."""
    late = two.lab.backup(two.targets, at=NOW + timedelta(days=400))
    found = shelves.gather(two.lab.home, ExpireRequest(files=["x.yml"]))
    assert found.chosen("last") == two.ids[2]
    assert any(late.id in reason for reason in found.freshness.reasons)
    only = replace(found, views=found.views[-1:])
    with pytest.raises(Failed, match="of the future") as told:
        only.chosen("last")
    assert "clock" in told.value.next
    two.expire()
    assert two.left("near") == [*two.ids, late.id]

"""What a backup says of a component whose procedure goes wrong, in whatever way, and who waits for whom."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from blocks.targets.base import Target
from compose.stack.backup.component import Component, Kind, Manner, Place
from compose.stack.backup.order import rounds, waits_for
from compose.stack.backup.plan import BackupPlan, ComponentPlan
from compose.stack.backup.report import TargetReport
from compose.stack.errors import Exit, Failed, Refused
from compose.stack.redact import Redactor
from flows.backup_stack import nodes
from flows.walker import ThreadRunner, walk
from tasks.backup import begin, saving
from tasks.backup.begin import Begun
from tasks.backup.procedure import Saved
from tasks.backup.progress import Progress
from tasks.backup.saving import Saver

DB = Component("db", Kind.VOLUME, Manner.STOPPED, ("db",))
CONFIGURATION = Component("configuration", Kind.CONFIGURATION, Manner.LIVE)
NOBODY = cast(Any, None)


@dataclass
class Procedure:
    """A procedure that fails where it is told to.

    Args:
        failures: What each call of a step raises, one after another.
    """

    failures: dict[str, list[Exception]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def _step(self, name: str) -> None:
        self.calls.append(name)
        if self.failures.get(name):
            raise self.failures[name].pop(0)

    def open(self) -> None:
        """Fix the moment."""
        self._step("open")

    def save(self) -> Saved:
        """Save it."""
        self._step("save")
        return Saved("tool", "1")

    def close(self) -> None:
        """Leave nothing behind."""
        self._step("close")


class Early(Procedure):
    """One that does something before anybody stands still."""

    def early(self) -> None:
        """Do it."""
        self._step("early")


@dataclass
class Scene:
    """A backup of some components, by procedures of the test's own."""

    begun: Begun
    procedures: dict[str, Procedure]

    def run(self) -> Any:
        """Save everything; the report."""
        walk(nodes(self.begun), ThreadRunner())
        self.begun.saver.close()
        return self.begun.report((TargetReport(target="local", state="complete"),), 1.0)


def scene(
    monkeypatch: pytest.MonkeyPatch, place: Path, *components: Component, fixed: bool = False, **fails: Procedure
) -> Scene:
    """A backup; components that have no procedure given succeed."""
    procedures = {component.name: fails.get(component.name, Procedure()) for component in components}
    monkeypatch.setattr(saving, "procedure_for", lambda given: procedures[given.component.name])
    work: Any = SimpleNamespace(
        journal=lambda *_, **__: None, waiting=lambda _: nullcontext(), say=lambda *_: None, redactor=Redactor(),
        engine=SimpleNamespace(inspect=lambda _: None), found=SimpleNamespace(name="shop"), name="shop",
    )  # fmt: skip
    saver = Saver(work, "id", NOBODY, NOBODY, place, None, Progress({}, work.say), fixed=fixed)
    plan = BackupPlan(tuple(ComponentPlan(component, 1) for component in components))
    prepared: Any = SimpleNamespace(plan=plan, components=components)
    begun = Begun(work, NOBODY, prepared, "id", NOBODY, NOBODY, NOBODY, NOBODY, saver, NOBODY)
    return Scene(begun, procedures)


@pytest.mark.parametrize("step", ["open", "save"])
@pytest.mark.parametrize(
    "error", [OSError(18, "Invalid cross-device link"), KeyError("headStats"), RuntimeError("x")]
)
def test_whatever_goes_wrong_the_backup_has_failed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str, error: Exception
) -> None:
    """An error that nobody expected is a component that is not saved, never a success."""
    broken = Procedure({step: [error, error]})
    made = scene(monkeypatch, tmp_path, DB, CONFIGURATION, db=broken).run()
    assert (made.exit_code, made.complete) == (Exit.FAILED, False)
    assert made.errors[0].startswith(f"db: {type(error).__name__}: {error}")
    assert [one.state for one in made.components] == ["failed", "saved"]
    assert broken.calls[-1] == "close"


def test_no_secret_is_in_what_is_raised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Prefect keeps the error of a task: what a tool said of a password is hidden there as in the report."""
    here = scene(
        monkeypatch, tmp_path, CONFIGURATION, configuration=Procedure({"save": [Failed("no canary1")] * 2})
    )
    here.begun.work.redactor = Redactor(frozenset({"canary1"}))  # type: ignore[misc]
    with pytest.raises(Failed) as raised:
        here.begun.saver.save(CONFIGURATION)
    assert "canary1" not in str(raised.value)


def test_a_component_that_nobody_reported_on_is_not_saved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The report counts what there is a record of."""
    here = scene(monkeypatch, tmp_path, DB, CONFIGURATION)
    here.begun.saver.save(CONFIGURATION)
    made = here.begun.report((), 1.0)
    assert (made.exit_code, made.complete) == (Exit.FAILED, False)
    assert made.errors[0].startswith("db: it was not saved")


def test_what_cannot_be_cleaned_up_loses_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A close that raises is logged; the others are closed as well."""
    made = scene(
        monkeypatch, tmp_path, DB, CONFIGURATION, db=Procedure({"close": [OSError(28, "no space")]})
    ).run()
    assert made.complete


@pytest.mark.parametrize(("fixed", "opened"), [(False, 2), (True, 1)])
def test_nothing_is_opened_again_after_a_consistency_point(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fixed: bool, opened: int
) -> None:
    """A second try would save another moment than the manifest names: then it has failed."""
    database = Component("db", Kind.POSTGRES, Manner.ONLINE, ("db",))
    once = Procedure({"save": [Failed("no target takes it")]})
    made = scene(monkeypatch, tmp_path, database, fixed=fixed, db=once).run()
    assert once.calls.count("open") == opened
    assert made.complete is not fixed


def test_what_is_refused_early_is_not_opened_while_others_stand_still(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It has failed by name; what only fails early is tried again in its turn."""
    refused, late = Early({"early": [Refused("too many databases")]}), Early({"early": [Failed("not now")]})
    here = scene(monkeypatch, tmp_path, DB, CONFIGURATION, db=refused, configuration=late)
    for component in (DB, CONFIGURATION):
        here.begun.saver.early(component, NOBODY)
        here.begun._open(component, NOBODY)
    made = here.run()
    assert [error.split(".")[0] for error in made.errors] == ["db: too many databases"]
    assert (refused.calls, late.calls) == (["early", "close"], ["early", "open", "save", "close"])


def test_a_store_is_read_after_its_other_places_were_copied() -> None:
    """Whoever stops a service comes before whoever reads it while it runs, and nobody else waits."""
    database = Component("db", Kind.POSTGRES, Manner.ONLINE, ("db",), (Place("volume", "data"),))
    layer = Component("layer-db-1", Kind.LAYER, Manner.STOPPED, ("db",))
    other = Component("volume-other", Kind.VOLUME, Manner.STOPPED, ("web",))
    all_of_them = (database, other, layer, CONFIGURATION)
    assert waits_for(database, all_of_them) == ("layer-db-1",)
    assert [waits_for(one, all_of_them) for one in all_of_them[1:]] == [(), (), ()]
    assert rounds(all_of_them) == ((layer,), (database, other, CONFIGURATION))
    assert rounds((database, other)) == ((database, other),)


class Bucket:
    """A target of whose methods only those are there that a sweep uses."""

    name = "s3"

    def skew(self) -> float:
        """Seconds ahead."""
        return 0.0

    def sweep_uploads(self, _older_than: Any, _prefix: str = "") -> list[str]:
        """As credentials without the right to delete answer."""
        raise Refused("the credentials cannot delete", where="s3")


def test_what_cannot_be_swept_stays_and_the_backup_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Credentials that cannot delete are a way to protect backups, not a reason to make none."""
    begin.sweep(cast(Target, Bucket()), cast(Any, SimpleNamespace(stack_id="shop-00000000")), NOBODY)
    assert "what a dead run left stays there" in caplog.text


@pytest.mark.parametrize("usable", [True, False])
def test_a_target_of_another_host_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch, usable: bool) -> None:
    """It is left out by name; refused is a backup that has no other."""

    def claim(target: Any, *_: Any, **__: Any) -> None:
        if target.name == "theirs":
            raise Refused("another host has its backups there", where="theirs")

    monkeypatch.setattr(begin, "claim", claim)
    monkeypatch.setattr(begin, "sweep", lambda *_: None)
    names = ("theirs", "ours") if usable else ("theirs",)
    prepared: Any = SimpleNamespace(failing={}, targets=tuple(SimpleNamespace(name=name) for name in names))
    if not usable:
        with pytest.raises(Refused, match="another host"):
            begin._taken(prepared, NOBODY, NOBODY, NOBODY, adopt=False)
        return
    taken, unreachable = begin._taken(prepared, NOBODY, NOBODY, NOBODY, adopt=False)
    assert list(taken) == ["ours"]
    assert list(unreachable) == ["theirs"]

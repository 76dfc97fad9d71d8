"""Whether backups are young enough, whether one shrank, and what the dashboard says of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from compose.stack.backup.component import Kind, Manner
from compose.stack.backup.freshness import judge, shrunk
from compose.stack.backup.ids import backup_id
from compose.stack.backup.manifest import ComponentRecord, Digest, FileRecord, Manifest, WaiverRecord
from compose.stack.backup.view import BackupView, age_text, days_until_full, sparkline, store_rows
from tasks.backup.fresh import settle

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SHA = "0" * 64


def view(
    days: float,
    size: int = 5_000_000,
    missing: tuple[str, ...] = (),
    on: tuple[str, ...] = ("local",),
    **more: object,
) -> BackupView:
    """A backup that is some days old."""
    began = NOW - days * DAY
    bytes_of = Digest(sha256=SHA, bytes=size)
    file = FileRecord(path="db/a.dump", plain=bytes_of, stored=bytes_of)
    component = ComponentRecord(
        name="db", kind=Kind.POSTGRES, manner=Manner.ONLINE, began=began, ended=began, files=(file,)
    )
    manifest = Manifest(
        id=backup_id(began, b"abcd"), stack="light", stack_id="s", project="p", host="h", product="0",
        began=began, ended=began, components=(component,),
        missing=tuple(WaiverRecord(what=name, reason="failed") for name in missing),
    )  # fmt: skip
    return BackupView(manifest.id, began, manifest, on, **more)  # type: ignore[arg-type]


def verdict(*views: BackupView, hours: float = 26, problems: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The reasons for which somebody is told."""
    return judge("light", views, NOW, hours * 3600, 0.5, problems).reasons


def test_the_last_good_backup_counts_not_the_last_one() -> None:
    """One that lacks a component, or cannot be read, is none."""
    assert verdict(view(0.5)) == ()
    assert "is 2 d old; the objective is 26 h" in verdict(view(2), view(0.1, missing=("graph",)))[0]
    assert verdict(view(0.1, problem="damaged")) == ("there is no complete backup",)
    assert verdict() == ("there is no complete backup",)


def test_a_target_that_does_not_answer_is_told() -> None:
    """Old knowledge is no knowledge."""
    assert verdict(view(0.1), problems=("offsite: no answer",)) == ("offsite: no answer",)


def test_a_component_that_shrinks_or_disappears_is_told_and_growth_is_not() -> None:
    """Against what the backups before it usually had."""
    assert verdict(view(3, 10_000_000), view(2, 9_000_000), view(0.1, 30_000_000)) == ()
    assert "db shrank by 80%" in verdict(view(3, 10_000_000), view(2, 10_000_000), view(0.1, 2_000_000))[0]
    gone = view(0.1)
    assert gone.manifest is not None
    empty = BackupView(gone.id, gone.began, gone.manifest.model_copy(update={"components": ()}), ("local",))
    assert any(
        "db is in the backup no more" in reason for reason in judge("l", [view(1), empty], NOW, 1e9, 0.5).reasons
    )


def test_a_hold_does_not_end_by_itself() -> None:
    """What is lost is lost in the backups that follow, too; only who looked ends it, or what comes back."""
    before = [view(day, 10_000_000) for day in (20, 19, 18, 17)]
    for nights in range(1, 10):
        after = [view(15 - night, 2_000_000) for night in range(nights)]
        (fault,) = shrunk([*before, *after], 0.5)
        assert "shrank by 80%" in fault.text, nights
    accepted = replace(after[2], accepted=True)
    assert shrunk([*before, *after[:2], accepted, *after[3:]], 0.5) == ()
    assert shrunk([*before, *after, view(0.1, 9_000_000)], 0.5) == ()
    again = [*before, accepted, view(3, 2_000_000), view(2, 2_000_000), view(1, 100_000)]
    assert "shrank by 95%" in shrunk(again, 0.5)[0].text, "what was accepted is not accepted for ever"


def test_a_component_that_is_gone_holds_too_until_somebody_looked() -> None:
    """One that came only once was none that is usual."""
    before, after = [view(day) for day in (9, 8, 7, 6)], [view(day) for day in (5, 4, 3, 2)]
    empty = [without(one) for one in after]
    assert [fault.about for fault in shrunk([*before, *empty], 0.5)] == ["size db"]
    assert shrunk([*before, replace(empty[0], accepted=True), *empty[1:]], 0.5) == ()
    assert shrunk([*[without(one) for one in before], after[0], *empty[1:]], 0.5) == ()


def without(one: BackupView) -> BackupView:
    """The same without its component."""
    assert one.manifest is not None
    return replace(one, manifest=one.manifest.model_copy(update={"components": ()}))


def test_a_backup_of_the_future_does_not_count() -> None:
    """The clock was ahead then, or is behind now: backups may have stopped, and it stays the newest."""
    told = judge("light", [view(30), view(-400)], NOW, 26 * 3600, 0.5)
    assert (told.last, told.good) == (view(30).id, False)
    assert [fault.about for fault in told.faults] == [f"future {view(-400).id}", "age"]
    assert judge("light", [view(0.1), view(-1 / 1000)], NOW, 26 * 3600, 0.5).good, "clocks differ a little"


def test_every_target_has_to_have_a_young_backup() -> None:
    """One that missed weeks of them is told of, by name; where none is young, that alone is."""
    views = [view(20, on=("local", "offsite")), view(0.1, on=("local",))]
    told = judge("light", views, NOW, 26 * 3600, 0.5, targets=("local", "offsite", "third"))
    assert [fault.about for fault in told.faults] == ["age on offsite", "age on third"]
    assert "on offsite" in told.reasons[0]
    assert "is 20 d old" in told.reasons[0]
    assert told.reasons[1] == "there is no complete backup on third"
    old = judge("light", views[:1], NOW, 26 * 3600, 0.5, targets=("local", "offsite", "third"))
    assert [fault.about for fault in old.faults] == ["age"]


def test_a_new_reason_is_told_once(tmp_path: Path) -> None:
    """Also while the verdict is bad already; that its age grows is no news, and neither is that one is mended."""
    small, small_and_old = [view(3, 10_000_000), view(1, 10_000)], [view(4, 10_000_000), view(2, 10_000)]
    told = [judge("light", views, NOW, 26 * 3600, 0.5) for views in (small, small_and_old, [view(3)], [view(0)])]
    said = [settle(tmp_path, fresh, None) for fresh in (told[0], told[0], *told[1:2], *told[1:], told[3])]
    assert said == ["told", "nothing new", "told", "nothing new", "nothing new", "told", "nothing new"]


def test_the_dashboard_shows_growth_and_the_day_a_target_is_full() -> None:
    """From the backups themselves."""
    views = [view(2, 10_000_000), view(1, 20_000_000), view(0, 40_000_000)]
    (row,) = store_rows(views, NOW)
    assert (row["size"], row["growth"], row["last backups"]) == ("40.0 MB", "+300%", "▃▅█")
    assert days_until_full(300_000_000, views) == 10.0
    assert days_until_full(None, views) is None
    assert (sparkline([]), sparkline([0, 0])) == ("", "▁▁")
    assert [age_text(s) for s in (30, 600, 90_000, 500_000)] == ["30 s", "10 min", "25 h", "6 d"]

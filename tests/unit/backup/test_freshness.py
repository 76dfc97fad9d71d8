"""Whether backups are young enough, whether one shrank, and what the dashboard says of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from compose.stack.backup.component import Kind, Manner
from compose.stack.backup.freshness import judge
from compose.stack.backup.ids import backup_id
from compose.stack.backup.manifest import ComponentRecord, Digest, FileRecord, Manifest, WaiverRecord
from compose.stack.backup.view import BackupView, age_text, days_until_full, sparkline, store_rows

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SHA = "0" * 64


def view(days: float, size: int = 5_000_000, missing: tuple[str, ...] = (), **more: object) -> BackupView:
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
    return BackupView(manifest.id, began, manifest, ("local",), **more)  # type: ignore[arg-type]


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


def test_the_dashboard_shows_growth_and_the_day_a_target_is_full() -> None:
    """From the backups themselves."""
    views = [view(2, 10_000_000), view(1, 20_000_000), view(0, 40_000_000)]
    (row,) = store_rows(views, NOW)
    assert (row["size"], row["growth"], row["last backups"]) == ("40.0 MB", "+300%", "▃▅█")
    assert days_until_full(300_000_000, views) == 10.0
    assert days_until_full(None, views) is None
    assert (sparkline([]), sparkline([0, 0])) == ("", "▁▁")
    assert [age_text(s) for s in (30, 600, 90_000, 500_000)] == ["30 s", "10 min", "25 h", "6 d"]

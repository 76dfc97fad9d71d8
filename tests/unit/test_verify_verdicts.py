"""Verdicts: what findings come to, and what is news."""

from __future__ import annotations

import pytest

from compose.stack.verdicts import (
    Finding,
    Level,
    Mark,
    Report,
    ServiceVerdict,
    Standing,
    Verdict,
    judge,
    level_to_run,
    merge,
)


def finding(service: str, level: Level = Level.ALIVE, mark: Mark = Mark.PASSED, detail: str = "") -> Finding:
    return Finding(service, level, mark, "probe", detail)


def report(mark: Mark, began: float = 100.0, level: Level = Level.READY, at: Level = Level.READY) -> Report:
    services = merge(level, [finding("redis", at, mark, "gone")], ["redis"])
    return Report("light", "sutazai", level, began, services)


def standing(verdict: Verdict, level: Level = Level.READY, began: float = 50.0) -> Standing:
    return Standing(verdict, level, since=10.0, began=began)


def test_a_service_without_a_check_at_the_asked_level_is_not_proven() -> None:
    verdict = ServiceVerdict("app", Level.WORKING, (finding("app"), finding("app", Level.READY)))
    assert verdict.mark is Mark.NOT_PROVEN


def test_what_is_proven_at_the_asked_level_passes_whatever_was_not_proven_below() -> None:
    below = finding("app", Level.READY, Mark.NOT_PROVEN)
    assert ServiceVerdict("app", Level.WORKING, (below, finding("app", Level.WORKING))).mark is Mark.PASSED


def test_one_failure_fails_the_service_and_names_itself() -> None:
    bad = finding("app", Level.ALIVE, Mark.FAILED, "refused")
    verdict = ServiceVerdict("app", Level.WORKING, (bad, finding("app", Level.WORKING)))
    assert (verdict.mark, verdict.reasons) == (Mark.FAILED, ("refused",))


def test_half_of_the_proofs_at_the_asked_level_is_not_proven() -> None:
    text = finding("ollama", Level.WORKING)
    digest = finding("ollama", Level.WORKING, Mark.NOT_PROVEN, "no digest recorded")
    verdict = ServiceVerdict("ollama", Level.WORKING, (text, digest))
    assert (verdict.mark, verdict.reasons) == (Mark.NOT_PROVEN, ("no digest recorded",))


def test_a_stack_with_unproven_services_passes_and_counts_them() -> None:
    services = merge(Level.READY, [finding("a", Level.READY), finding("b")], ["a", "b"])
    found = Report("light", "sutazai", Level.READY, 1.0, services)
    assert found.verdict is Verdict.PASSED
    assert found.sentence == "passed at level ready: 1 passed, 1 not proven"


def test_one_failed_service_fails_the_stack_with_its_reason() -> None:
    found = report(Mark.FAILED)
    assert found.verdict is Verdict.FAILED
    assert found.reasons == ("redis: gone",)


def test_a_stack_without_services_does_not_pass() -> None:
    assert Report("light", "sutazai", Level.READY, 1.0).verdict is Verdict.FAILED


def test_the_first_verdict_is_news_only_when_it_is_a_failure() -> None:
    now, change = judge(report(Mark.PASSED), None)
    assert now is not None
    assert change is None
    assert judge(report(Mark.FAILED), None)[1] is not None


def test_a_failure_is_told_once_and_the_recovery_once() -> None:
    kept, first = judge(report(Mark.FAILED), standing(Verdict.PASSED))
    kept, again = judge(report(Mark.FAILED, 200.0), kept)
    kept, better = judge(report(Mark.PASSED, 300.0), kept)
    kept, still = judge(report(Mark.PASSED, 400.0), kept)
    assert [change and change.now for change in (first, again, better, still)] == [
        Verdict.FAILED,
        None,
        Verdict.PASSED,
        None,
    ]
    assert better is not None
    assert better.sentence == "light works again after 3 min (verified at level ready)"


def test_maintenance_changes_nothing() -> None:
    before = standing(Verdict.PASSED)
    during = Report("light", "sutazai", Level.READY, 100.0, note="deploy (pid 1)")
    assert judge(during, before) == (before, None)


def test_an_older_observation_does_not_overrule_a_newer_one() -> None:
    before = standing(Verdict.PASSED, began=150.0)
    assert judge(report(Mark.FAILED, began=100.0), before) == (before, None)


def test_a_standing_verdict_survives_its_file() -> None:
    kept, _ = judge(report(Mark.FAILED), None)
    assert kept is not None
    assert Standing.from_dict(kept.to_dict()) == kept


@pytest.mark.parametrize(
    ("asked", "before", "run"),
    [
        (Level.READY, None, Level.READY),
        (Level.READY, standing(Verdict.PASSED, Level.WORKING), Level.READY),
        (Level.READY, standing(Verdict.FAILED, Level.WORKING), Level.WORKING),
        (Level.WORKING, standing(Verdict.FAILED, Level.ALIVE), Level.WORKING),
    ],
)
def test_a_failure_is_asked_about_at_the_level_where_it_was_seen(
    asked: Level, before: Standing | None, run: Level
) -> None:
    """A shallow check that passes would announce a recovery that the next deep one takes back."""
    assert level_to_run(asked, before) is run


def test_the_level_that_stands_is_the_deepest_that_failed() -> None:
    kept, _ = judge(report(Mark.FAILED, level=Level.WORKING, at=Level.ALIVE), None)
    assert kept is not None
    assert kept.level is Level.ALIVE

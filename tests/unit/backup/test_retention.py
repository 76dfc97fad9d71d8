"""What goes, what stays, and why."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.backup.ids import backup_id
from compose.stack.backup.records import Facts, Proof, Rehearsal
from compose.stack.backup.retention import Expiry, Kept, Policy, decide, parse_policy
from compose.stack.errors import Refused

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LEVELS = [Facts(), Facts(verified="bytes"), Facts(verified="content"), Facts(damaged=("a hash differs",))]
counts = st.integers(0, 5)
policies = st.builds(Policy, last=counts, daily=counts, weekly=counts, monthly=counts, minimum=st.integers(1, 4))


def made(hours: int, *, complete: bool = True) -> Kept:
    """A backup so many hours ago."""
    moment = NOW - timedelta(hours=hours)
    return Kept(backup_id(moment, hours.to_bytes(4, "big")), moment, complete)


@st.composite
def shelves(draw: st.DrawFn) -> tuple[list[Kept], dict[str, Facts]]:
    """Backups of some years with what is known of them."""
    ages = draw(st.lists(st.integers(0, 24 * 800), max_size=30, unique=True))
    backups = [made(age, complete=draw(st.booleans())) for age in ages]
    return backups, {one.id: draw(st.sampled_from(LEVELS)) for one in backups}


def applied(expiry: Expiry, backups: list[Kept]) -> list[Kept]:
    """What is left."""
    return [one for one in backups if one.id in expiry.keep]


@given(policies, shelves())
def test_the_last_one_proven_furthest_is_never_removed(
    policy: Policy, shelf: tuple[list[Kept], dict[str, Facts]]
) -> None:
    """Of the complete ones, the newest among those with the highest proof stays, whatever the rules say."""
    backups, facts = shelf
    complete = [one for one in backups if one.complete and not facts[one.id].damaged]
    keep = decide(policy, backups, facts, NOW).keep
    if complete:
        best = max(facts[one.id].proof for one in complete)
        newest = max(one.id for one in complete if facts[one.id].proof == best)
        assert newest in keep
        assert len([one for one in complete if one.id in keep]) >= min(policy.minimum, len(complete))
    assert bool(keep) == bool(backups)


@given(policies, shelves())
def test_expiring_twice_removes_nothing_more(policy: Policy, shelf: tuple[list[Kept], dict[str, Facts]]) -> None:
    """What one expiry keeps the next one keeps."""
    backups, facts = shelf
    left = applied(decide(policy, backups, facts, NOW), backups)
    assert decide(policy, left, facts, NOW).remove == ()


@given(policies, policies, shelves())
def test_a_more_generous_policy_keeps_all_that_a_meaner_one_keeps(
    one: Policy, other: Policy, shelf: tuple[list[Kept], dict[str, Facts]]
) -> None:
    """Raising any number removes nothing more."""
    backups, facts = shelf
    names = ("last", "daily", "weekly", "monthly", "minimum")
    more = Policy(**{name: max(getattr(one, name), getattr(other, name)) for name in names})
    assert set(decide(one, backups, facts, NOW).keep) <= set(decide(more, backups, facts, NOW).keep)


@given(policies, shelves())
def test_every_backup_has_its_reasons(policy: Policy, shelf: tuple[list[Kept], dict[str, Facts]]) -> None:
    """Each is kept or removed, once, with at least one reason."""
    backups, facts = shelf
    expiry = decide(policy, backups, facts, NOW)
    assert sorted(expiry.keep + expiry.remove) == sorted(one.id for one in backups)
    assert all(expiry.reasons[one.id] for one in backups)


@given(policies, shelves(), st.data())
def test_pins_and_doubts_keep_a_backup(
    policy: Policy, shelf: tuple[list[Kept], dict[str, Facts]], data: st.DataObject
) -> None:
    """A pinned backup, and one whose records cannot all be read, is never removed."""
    backups, facts = shelf
    for one in backups:
        if data.draw(st.booleans()):
            how = {"pinned": "the auditor"} if data.draw(st.booleans()) else {"doubtful": ("x",)}
            facts[one.id] = Facts(**how)
            assert one.id in decide(policy, backups, facts, NOW).keep


def test_a_year_of_nightly_backups() -> None:
    """The usual policy keeps days, weeks and months, and says so."""
    backups = [made(24 * day) for day in range(365)]
    expiry = decide(Policy(), backups, {}, NOW)
    assert len(expiry.keep) == 7 + 3 + 11
    newest = max(one.id for one in backups)
    assert expiry.reasons[newest][:2] == ("last 1 of 7", "daily 2026-11-24, 1 of 7")
    assert "protected: the newest; none was verified" in expiry.reasons[newest]
    assert all(expiry.reasons[name] == ("no rule keeps it",) for name in expiry.remove)


def test_a_rehearsal_outranks_the_content() -> None:
    """The last one that passed a rehearsal is protected though newer ones were verified."""
    old, new = made(1000), made(1)
    facts = {old.id: Facts(rehearsed=Rehearsal(True, 60.0, NOW)), new.id: Facts(verified="content")}
    expiry = decide(Policy(1, 0, 0, 0, 1), [old, new], facts, NOW)
    assert expiry.reasons[old.id] == ("protected: the last one proven to rehearsal",)
    assert facts[old.id].proof is Proof.REHEARSAL


def test_an_incomplete_backup_goes_when_a_complete_one_followed() -> None:
    """It is kept only as long as nothing better is there."""
    part, whole = made(5, complete=False), made(3)
    assert decide(Policy(), [part], {}, NOW).keep == (part.id,)
    expiry = decide(Policy(), [part, whole], {}, NOW)
    assert expiry.remove == (part.id,)
    assert expiry.reasons[part.id] == ("incomplete, and a complete one followed",)


def test_what_another_target_knows_keeps_a_backup_here() -> None:
    """Ids that must stay for other targets' sake stay, with their reason."""
    backups = [made(day * 24) for day in range(9)]
    oldest = min(one.id for one in backups)
    policy = Policy(1, 0, 0, 0, 1)
    assert oldest in decide(policy, backups, {}, NOW).remove
    kept = decide(policy, backups, {}, NOW, elsewhere={oldest: "proven on offsite"})
    assert kept.reasons[oldest] == ("proven on offsite",)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"skew": 301.0}, "clock differs"),
        ({"skew": -301.0}, "clock differs"),
        ({"unreadable": ("20261124T000000Z-00000000",)}, "cannot be read"),
        ({"held": "postgres has 3 bytes, usually 3000000"}, "held: postgres"),
    ],
)
def test_nothing_is_removed_in_doubt(how: dict[str, object], said: str) -> None:
    """Clocks that differ, manifests that cannot be read, and a drop in size stop an expiry as a whole."""
    with pytest.raises(Refused, match=said):
        decide(Policy(), [made(1)], {}, NOW, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("hours", [-1, -10_000])
def test_a_backup_of_the_future_stops_an_expiry(hours: int) -> None:
    """Either this host's clock is wrong or the one that made it was."""
    with pytest.raises(Refused, match="of the future"):
        decide(Policy(), [Kept(backup_id(NOW - timedelta(hours=hours), b"abcd"), NOW)], {}, NOW)
    with pytest.raises(Refused, match="of the future"):
        decide(Policy(), [Kept(made(3).id, NOW - timedelta(hours=hours))], {}, NOW)


def test_a_few_minutes_are_no_future() -> None:
    """Clocks may differ by five minutes."""
    near = Kept(backup_id(NOW + timedelta(minutes=4), b"abcd"), NOW + timedelta(minutes=5))
    assert decide(Policy(), [near], {}, NOW, skew=299.0).keep == (near.id,)


def test_a_policy_is_read_from_text() -> None:
    """What is not named is none; the minimum stays at 3."""
    assert parse_policy("last=7,daily=7,weekly=5,monthly=12,minimum=3") == Policy()
    assert parse_policy(" last = 2 ,") == Policy(2, 0, 0, 0, 3)


@pytest.mark.parametrize(
    "text", ["last", "last=-1", "hourly=3", "last=1,last=2", "minimum=0", "daily=1e3", "last=²"]
)
def test_a_policy_that_is_none_is_refused(text: str) -> None:
    """Unknown rules, rules twice, what is no number, and one that would remove everything."""
    with pytest.raises(Refused):
        parse_policy(text)


def test_a_backup_whose_drop_was_accepted_stays_while_what_it_is_smaller_than_is_there() -> None:
    """Without it the next one would be compared with the old sizes again."""
    backups = [made(hours) for hours in (100, 50, 1)]
    accepted = {one.id: Facts() for one in backups} | {backups[1].id: Facts(accepted="cleaned up")}
    policy = Policy(last=1, daily=0, weekly=0, monthly=0, minimum=1)
    assert decide(policy, backups, accepted, NOW).remove == (backups[0].id,)
    del accepted[backups[0].id]
    assert decide(policy, backups[1:], accepted, NOW).remove == (backups[1].id,)

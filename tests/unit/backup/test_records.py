"""Later facts about backups, and what they amount to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.backup.jsontext import dumps
from compose.stack.backup.records import (
    Fact,
    Pinned,
    Proof,
    Record,
    Rehearsed,
    Rekeyed,
    Unpinned,
    Verified,
    facts_of,
    parse_record,
)
from compose.stack.errors import Refused

AT = datetime(2026, 11, 24, tzinfo=UTC)
STACK, BACKUP = "light-0123abcd", "20261124T000000Z-0123abcd"


def record(fact: Fact, minutes: int = 0) -> Record:
    return Record(stack_id=STACK, backup=BACKUP, at=AT + timedelta(minutes=minutes), by="a@b", fact=fact)


def test_the_highest_level_counts() -> None:
    """A later look at the bytes takes nothing from what was proven before."""
    facts = facts_of([record(Verified(level="content")), record(Verified(level="bytes"), 5)])
    assert (facts.verified, facts.proof) == ("content", Proof.CONTENT)
    assert facts.verified_at == AT + timedelta(minutes=5)


def test_damage_takes_every_proof_until_it_passes_again() -> None:
    """What was proven before it was found damaged counts no more."""
    bad = Verified(level="bytes", passed=False, problems=("a.dump: was changed",))
    told = [record(Rehearsed(passed=True, seconds=9)), record(Verified(level="content"), 1), record(bad, 2)]
    facts = facts_of(told)
    assert facts.damaged == ("a.dump: was changed",)
    assert facts.proof is Proof.NONE
    assert facts_of([*told, record(Verified(level="bytes"), 3)]).proof is Proof.BYTES


def test_a_weaker_pass_does_not_forget_damage() -> None:
    """Rows that are not those are not healed by hashes that fit, nor a blob by a sample without it."""
    rows = Verified(level="content", passed=False, problems=("table orders: its rows are not those",))
    blob = Verified(level="bytes", passed=False, problems=("pool/x: was changed",))
    sampled = Verified(level="content", details={"sample": 0.01})
    known = facts_of([record(rows), record(blob, 1), record(Verified(level="bytes"), 2)])
    assert (known.damaged, known.proof) == (rows.problems, Proof.NONE)
    assert facts_of([record(blob), record(sampled, 1)]).damaged == blob.problems
    assert facts_of([record(rows), record(blob, 1)]).damaged == (*blob.problems, *rows.problems)
    healed = facts_of(
        [record(rows), record(blob, 1), record(Verified(level="content", details={"sample": 1.0}), 2)]
    )
    assert (healed.damaged, healed.proof) == ((), Proof.CONTENT)


def test_what_was_encrypted_anew_is_proven_anew() -> None:
    """Other files lie there now; what was wrong in them before stays so until all of it passes."""
    told = [record(Verified(level="content")), record(Rehearsed(passed=True, seconds=9), 1), record(Rekeyed(), 2)]
    assert (facts_of(told).proof, facts_of(told).verified_at) == (Proof.NONE, None)
    assert facts_of([*told, record(Verified(level="bytes"), 3)]).proof is Proof.BYTES
    bad = Verified(level="content", passed=False, problems=("rows",))
    assert facts_of([record(bad), record(Rekeyed(), 1)]).damaged == ("rows",)


def test_pins_come_and_go() -> None:
    """The last word counts."""
    assert facts_of([record(Pinned(reason="audit"))]).pinned == "audit"
    assert facts_of([record(Pinned(reason="audit")), record(Unpinned(), 1)]).pinned is None
    assert facts_of([record(Pinned(reason="audit"), 2), record(Unpinned(), 1)]).pinned == "audit"


@given(st.permutations([Pinned(reason="a"), Unpinned(), Verified(level="bytes"), Rekeyed(), Pinned(reason="b")]))
def test_the_order_of_reading_does_not_matter(facts: list[Fact]) -> None:
    """Records are sorted by their own time."""
    told = [record(fact, minutes) for minutes, fact in enumerate(facts)]
    assert facts_of(told) == facts_of(list(reversed(told)))


def test_a_record_is_read_as_it_was_written() -> None:
    """Through JSON and back."""
    one = record(Rehearsed(passed=False, seconds=3.5, problems=("rows differ",)))
    data = dumps(one.model_dump(mode="json", by_alias=True))
    assert parse_record(data, stack_id=STACK, backup=BACKUP) == one


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backup": "20261124T000000Z-ffffffff"}, "is about"),
        ({"stack_id": "other-0123abcd"}, "is about"),
        ({"schema": 2}, "a record has"),
        ({"fact": {"fact": "blessed"}}, "a record has"),
        ({"more": 1}, "a record has"),
    ],
)
def test_a_record_of_something_else_is_refused(change: dict[str, object], said: str) -> None:
    """It does not matter that its signature holds: it may have been copied from beside another backup."""
    raw = record(Unpinned()).model_dump(mode="json", by_alias=True) | change
    with pytest.raises(Refused, match=said):
        parse_record(dumps(raw), stack_id=STACK, backup=BACKUP)

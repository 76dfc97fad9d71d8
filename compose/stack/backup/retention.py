"""Which backups go: rules, and a reason for every backup."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from compose.stack.backup.ids import moment_of
from compose.stack.backup.manifest import Manifest
from compose.stack.backup.records import Facts, Proof
from compose.stack.errors import Refused

SKEW = 300.0
"""Seconds that clocks may differ."""
NOTHING = Facts()


@dataclass(frozen=True)
class Policy:
    """What is kept; a backup that any rule keeps stays.

    Args:
        last: The newest so many.
        daily: The newest of each of so many days (UTC) that have one; `weekly` and `monthly` likewise.
        minimum: The newest so many complete ones with nothing known to be wrong, whatever the other rules say.
    """

    last: int = 7
    daily: int = 7
    weekly: int = 5
    monthly: int = 12
    minimum: int = 3


@dataclass(frozen=True)
class Kept:
    """What retention has to know of a backup.

    Args:
        complete: No component is missing in it.
        ended: When its manifest was written.
    """

    id: str
    ended: datetime
    complete: bool = True

    @classmethod
    def of(cls, manifest: Manifest) -> Kept:
        """From its manifest."""
        return cls(manifest.id, manifest.ended, manifest.complete)


@dataclass(frozen=True)
class Expiry:
    """What stays and what goes, newest first, with the reasons for each."""

    keep: tuple[str, ...]
    remove: tuple[str, ...]
    reasons: Mapping[str, tuple[str, ...]]


def parse_policy(text: str) -> Policy:
    """Read `last=7,daily=7,weekly=5,monthly=12,minimum=3`; what is not named is none, `minimum` 3.

    Raises:
        Refused: An unknown rule, one named twice, no whole number from 0 to 9999, or a minimum of 0.
    """
    known = [one.name for one in fields(Policy)]
    found: dict[str, int] = {}
    for part in (part.strip() for part in text.split(",") if part.strip()):
        name, _, number = (piece.strip() for piece in part.partition("="))
        whole = number.isascii() and number.isdigit() and len(number) < 5
        if name not in known or name in found or not whole:
            raise Refused(
                f"{part!r} is no rule, or is there twice", where="retention", next=f"rules: {', '.join(known)}"
            )
        found[name] = int(number)
    policy = Policy(**{name: 0 for name in known if name != "minimum"} | found)
    if policy.minimum < 1:
        raise Refused("it would allow to remove every backup", where="retention", next="minimum=1 or more")
    return policy


def decide(
    policy: Policy,
    backups: Sequence[Kept],
    facts: Mapping[str, Facts],
    now: datetime,
    *,
    skew: float = 0.0,
    unreadable: Sequence[str] = (),
    held: str = "",
    elsewhere: Mapping[str, str] | None = None,
) -> Expiry:
    """Decide about the backups on one target.

    Args:
        backups: All of one stack; `facts`: what the records beside them amount to.
        now: Aware.
        skew: Seconds that the target's clock is ahead of ours.
        unreadable: Ids whose manifests cannot be read or trusted.
        held: Why nothing may be removed now; a size drop.
        elsewhere: Ids that must stay for what other targets know, with the reason.

    Raises:
        Refused: Clocks differ, a backup is of the future, a manifest cannot be read, or it is held.
    """
    _check(backups, now, skew, unreadable, held)
    ordered = sorted(backups, key=lambda one: one.id, reverse=True)
    good = [one for one in ordered if not facts.get(one.id, NOTHING).damaged]
    complete = [one for one in good if one.complete]
    reasons: dict[str, list[str]] = {one.id: [] for one in ordered}
    _rules(policy, [one.id for one in complete], "", reasons)
    since = complete[0].id if complete else ""
    _rules(policy, [one.id for one in good if not one.complete and one.id > since], "incomplete, ", reasons)
    for one in ordered[: policy.last]:
        if facts.get(one.id, NOTHING).damaged:
            reasons[one.id].append("damaged, among the last")
    whole = complete or good or ordered
    for one in whole[: policy.minimum]:
        reasons[one.id].append(f"one of the minimum of {policy.minimum}")
    _protect(whole, facts, reasons)
    for identifier, reason in (*_told(facts), *(elsewhere or {}).items()):
        if identifier in reasons:
            reasons[identifier].append(reason)
    return _answer(reasons, {one.id: _gone(one, facts.get(one.id, NOTHING)) for one in ordered})


def _answer(reasons: Mapping[str, Sequence[str]], gone: Mapping[str, str]) -> Expiry:
    told = {identifier: tuple(why) or (gone[identifier],) for identifier, why in reasons.items()}
    keep = tuple(identifier for identifier, why in reasons.items() if why)
    return Expiry(keep, tuple(identifier for identifier, why in reasons.items() if not why), told)


def _check(backups: Sequence[Kept], now: datetime, skew: float, unreadable: Sequence[str], held: str) -> None:
    if abs(skew) > SKEW:
        said = f"the target's clock differs by {skew:.0f} s; nothing is removed"
        raise Refused(said, where="expiry", next="set the clocks")
    if unreadable:
        raise Refused(
            f"{', '.join(sorted(unreadable)[:5])} cannot be read; nothing is removed", where="expiry",
            next="./ops verify-backup ID tells why",
        )  # fmt: skip
    limit = now + timedelta(seconds=SKEW)
    late = [one.id for one in backups if max(moment_of(one.id), one.ended) > limit]
    if late:
        said = f"{', '.join(late[:5])} of the future; nothing is removed"
        raise Refused(said, where="expiry", next="set this host's clock")
    if held:
        raise Refused(f"held: {held}; nothing is removed", where="expiry", next="look at the last backup first")


def _rules(policy: Policy, ordered: Sequence[str], what: str, reasons: dict[str, list[str]]) -> None:
    for number, identifier in enumerate(ordered[: policy.last], 1):
        reasons[identifier].append(f"{what}last {number} of {policy.last}")
    periods: tuple[tuple[str, int, Callable[[datetime], str]], ...] = (
        ("daily", policy.daily, lambda at: f"{at:%Y-%m-%d}"),
        ("weekly", policy.weekly, lambda at: f"{at:%G-W%V}"),
        ("monthly", policy.monthly, lambda at: f"{at:%Y-%m}"),
    )
    for rule, count, period_of in periods:
        seen: list[str] = []
        for identifier in ordered:
            period = period_of(moment_of(identifier))
            if period not in seen and len(seen) < count:
                seen.append(period)
                reasons[identifier].append(f"{what}{rule} {period}, {len(seen)} of {count}")


def _protect(whole: Sequence[Kept], facts: Mapping[str, Facts], reasons: dict[str, list[str]]) -> None:
    """The newest of those that were proven furthest."""
    proofs = {one.id: facts.get(one.id, NOTHING).proof for one in whole}
    best = max(proofs.values(), default=Proof.NONE)
    chosen = next((one.id for one in whole if proofs[one.id] == best), None)
    if chosen is not None:
        proven = f"the last one proven to {best.name.lower()}"
        said = "the newest; none was verified" if best == Proof.NONE else proven
        reasons[chosen].append(f"protected: {said}")


def _told(facts: Mapping[str, Facts]) -> list[tuple[str, str]]:
    """What the records themselves ask for."""
    doubtful = [(name, "its records cannot all be read") for name, one in facts.items() if one.doubtful]
    oldest = min(facts, default="")
    doubtful += [
        (name, f"a drop was accepted with it: {one.accepted}")
        for name, one in facts.items()
        if one.accepted is not None and name != oldest  # while what it is smaller than is there
    ]
    return doubtful + [(name, f"pinned: {one.pinned}") for name, one in facts.items() if one.pinned is not None]


def _gone(one: Kept, facts: Facts) -> str:
    if facts.damaged:
        return f"damaged ({facts.damaged[0]})"
    return "no rule keeps it" if one.complete else "incomplete, and a complete one followed"

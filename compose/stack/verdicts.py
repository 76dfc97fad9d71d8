"""What a verification found, what follows from it, and whether that is news."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self


class Level(StrEnum):
    """How deep a verification goes; each level includes those before it."""

    ALIVE = "alive"
    READY = "ready"
    WORKING = "working"

    @property
    def included(self) -> tuple[Level, ...]:
        """This level and those before it, shallow first."""
        every = tuple(Level)
        return every[: every.index(self) + 1]


class Mark(StrEnum):
    """What one check, or one service, came to."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_PROVEN = "not proven"


class Verdict(StrEnum):
    """What a whole stack came to; there is nothing between passed and failed."""

    PASSED = "passed"
    FAILED = "failed"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True)
class Finding:
    """What one check of one service brought.

    Args:
        check: How it was asked, in a few words.
        detail: What it said.
        seconds: How long the answer took.
    """

    service: str
    level: Level
    mark: Mark
    check: str
    detail: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class ServiceVerdict:
    """All findings of one service.

    Args:
        level: The level that was asked for; only what is proven at this level counts as passed.
    """

    service: str
    level: Level
    findings: tuple[Finding, ...]

    @property
    def mark(self) -> Mark:
        """Failed when anything failed; passed when everything at the asked level passed; else not proven."""
        if any(finding.mark is Mark.FAILED for finding in self.findings):
            return Mark.FAILED
        return self.at(self.level)

    def at(self, level: Level) -> Mark:
        """What one level came to; not proven without a check."""
        marks = {finding.mark for finding in self.findings if finding.level is level}
        if Mark.FAILED in marks:
            return Mark.FAILED
        return Mark.PASSED if marks == {Mark.PASSED} else Mark.NOT_PROVEN

    def seconds(self, level: Level) -> float | None:
        """The longest time that a check of one level took; None without a check that passed."""
        times = [f.seconds for f in self.findings if f.level is level and f.mark is Mark.PASSED]
        return max(times, default=None)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not passed."""
        bad = [finding for finding in self.findings if finding.mark is Mark.FAILED]
        open_ones = [f for f in self.findings if f.mark is Mark.NOT_PROVEN and f.level is self.level]
        return tuple(dict.fromkeys(finding.detail or finding.check for finding in bad or open_ones))


@dataclass(frozen=True)
class Report:
    """One verification of one stack.

    Args:
        began: Seconds since the epoch.
        seconds: How long the checks of each level took together.
        note: Why it is maintenance, empty otherwise.
        raised: True when a deeper level was checked than asked for, since the last failure was there.
        trouble: Why nobody could be asked: the stack's files cannot be read; empty otherwise.
    """

    stack: str
    project: str
    level: Level
    began: float
    services: tuple[ServiceVerdict, ...] = ()
    seconds: tuple[tuple[Level, float], ...] = ()
    note: str = ""
    raised: bool = False
    trouble: str = ""

    @property
    def verdict(self) -> Verdict:
        """Passed only when no service failed and at least one was there to be asked."""
        if self.note:
            return Verdict.MAINTENANCE
        return Verdict.FAILED if self.trouble or self.failed or not self.services else Verdict.PASSED

    @property
    def failed(self) -> tuple[ServiceVerdict, ...]:
        """The services that failed."""
        return self.marked(Mark.FAILED)

    def marked(self, mark: Mark) -> tuple[ServiceVerdict, ...]:
        """The services with one mark."""
        return tuple(service for service in self.services if service.mark is mark)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it failed, one line per service."""
        if self.trouble:
            return (self.trouble,)
        if not self.services and not self.note:
            return ("the stack has no services to verify",)
        return tuple(f"{service.service}: {'; '.join(service.reasons)}" for service in self.failed)

    @property
    def passed(self) -> bool:
        """True for a verdict of 100 %: nothing failed (what is not proven is counted, not hidden)."""
        return self.verdict is Verdict.PASSED

    @property
    def sentence(self) -> str:
        """The whole verdict in one line."""
        if self.verdict is Verdict.MAINTENANCE:
            return f"maintenance: {self.note}"
        if self.trouble:
            return f"{self.verdict}: {self.trouble}"
        counts = [f"{len(self.marked(mark))} {mark}" for mark in Mark if self.marked(mark)]
        return f"{self.verdict} at level {self.level}: {', '.join(counts) or 'no services'}"


@dataclass(frozen=True)
class Standing:
    """The last verdict that counts for a stack, as it is kept between verifications.

    Args:
        since: When the verdict became what it is, in seconds since the epoch.
        began: When the verification that said so last began.
        level: The deepest level at which something failed; of a passed one, the level that passed.
    """

    verdict: Verdict
    level: Level
    since: float
    began: float
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As it is written to a file."""
        return {
            "verdict": self.verdict.value,
            "level": self.level.value,
            "since": self.since,
            "began": self.began,
            "reasons": list(self.reasons),
        }

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> Self:
        """Read what was written."""
        return cls(
            Verdict(said["verdict"]),
            Level(said["level"]),
            float(said["since"]),
            float(said["began"]),
            tuple(said.get("reasons") or ()),
        )


@dataclass(frozen=True)
class Change:
    """News: the verdict of a stack is another one than before.

    Args:
        before: None for the first verdict.
    """

    stack: str
    before: Verdict | None
    now: Verdict
    level: Level
    at: float
    reasons: tuple[str, ...] = ()
    lasted: float | None = None

    @property
    def sentence(self) -> str:
        """For people."""
        if self.now is Verdict.PASSED:
            lasted = f" after {_span(self.lasted)}" if self.lasted is not None else ""
            return f"{self.stack} works again{lasted} (verified at level {self.level})"
        return f"{self.stack} failed its verification at level {self.level}: {' | '.join(self.reasons)}"


def level_to_run(asked: Level, standing: Standing | None) -> Level:
    """The level to verify: never shallower than the one at which the last verification failed.

    A shallow check that passes would otherwise announce a recovery that only a deeper one can see,
    and the next deep one would announce the same failure again.
    """
    if standing is None or standing.verdict is not Verdict.FAILED:
        return asked
    every = tuple(Level)
    return max(asked, standing.level, key=every.index)


def judge(report: Report, standing: Standing | None) -> tuple[Standing | None, Change | None]:
    """What stands after a report, and whether it is news.

    Maintenance changes nothing. Neither does a report that began before the one that stands, since its
    observations are older. The first verdict is news only when it is a failure.
    """
    verdict = report.verdict
    if verdict is Verdict.MAINTENANCE or (standing and report.began < standing.began):
        return standing, None
    level = _failed_at(report) if verdict is Verdict.FAILED else report.level
    if report.trouble:  # nobody was asked: what failed deeper down is not taken back
        level = level_to_run(level, standing)
    if standing and standing.verdict is verdict:
        kept = replace(standing, level=level, began=report.began, reasons=report.reasons)
        return kept, None
    now = Standing(verdict, level, report.began, report.began, report.reasons)
    if standing is None and verdict is Verdict.PASSED:
        return now, None
    before = standing.verdict if standing else None
    lasted = report.began - standing.since if standing else None
    return now, Change(report.stack, before, verdict, level, report.began, report.reasons, lasted)


def _failed_at(report: Report) -> Level:
    levels = {f.level for service in report.failed for f in service.findings if f.mark is Mark.FAILED}
    return max(levels, key=tuple(Level).index, default=Level.ALIVE if report.trouble else report.level)


def merge(level: Level, findings: Iterable[Finding], services: Iterable[str]) -> tuple[ServiceVerdict, ...]:
    """The findings, service by service, in the order of `services`."""
    found: dict[str, list[Finding]] = {name: [] for name in services}
    for finding in findings:
        found.setdefault(finding.service, []).append(finding)
    return tuple(ServiceVerdict(name, level, tuple(entries)) for name, entries in found.items())


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"

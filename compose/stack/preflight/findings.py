"""Findings of the preflight: all of them at once, refused, shown, or accepted by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from compose.stack.errors import Refused
from compose.stack.preflight.codes import CODES, Severity

__all__ = ["Finding", "Findings", "PreflightRefused", "Severity", "judge"]


class Standing(StrEnum):
    """How a finding counts after the accepted risks are known."""

    ERROR = "error"
    ACCEPTED = "accepted"
    WARNING = "warning"
    INFO = "info"


ORDER = tuple(Standing)


@dataclass(frozen=True)
class Finding:
    """One problem.

    Args:
        code: Stable name, a key of CODES.
        what: The fact, in one sentence; never a secret's value.
        service: The service it concerns; empty for the project or the machine.
        key: Where in the file, `ports.0` or `environment.API_KEY`.
        next: What to do about it; by default what the code's table says.
        also: Further services that it concerns.
        own: It is about one of our own stacks, where some codes weigh more.
        accepted: An error that a person takes as a risk.
    """

    code: str
    what: str
    service: str = ""
    key: str = ""
    next: str = ""
    also: tuple[str, ...] = ()
    own: bool = False
    accepted: bool = False

    def __post_init__(self) -> None:
        if not self.next:
            object.__setattr__(self, "next", CODES[self.code].next)

    @property
    def severity(self) -> Severity:
        """How much it weighs in this stack."""
        return CODES[self.code].for_stack(self.own)

    @property
    def standing(self) -> Standing:
        """Error, accepted, warning or info."""
        return Standing.ACCEPTED if self.accepted else Standing(self.severity.value)

    @property
    def place(self) -> str:
        """Service and key as people write them: `postgres.ports.0`."""
        return ".".join(part for part in (self.service, self.key) if part)

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        then = f" Next: {self.next}" if self.next else ""
        return f"{self.standing:<8} {self.code}  {place}{self.what}{then}"


class PreflightRefused(Refused):
    """Errors that nobody accepted; all of them are in the message and in `findings`."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        errors = findings.errors
        lines = [f"{len(errors)} problem{'s' if len(errors) > 1 else ''} found before anything was touched:"]
        lines += [f"  {finding}" for finding in errors]
        risks = dict.fromkeys(finding.code for finding in errors if CODES[finding.code].acceptable)
        codes = " ".join(f"--accept {code}" for code in risks)
        then = f"correct them, or take the risk: {codes}" if risks else "correct them"
        super().__init__("\n".join(lines), where="preflight", next=then)


@dataclass(frozen=True)
class Findings:
    """Every finding of a pass, worst first."""

    items: tuple[Finding, ...] = ()

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __add__(self, other: Findings) -> Findings:
        return collect((*self.items, *other.items))

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What refuses the deployment."""
        return self.standing(Standing.ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What a person should know."""
        return self.standing(Standing.WARNING)

    @property
    def accepted(self) -> tuple[Finding, ...]:
        """Errors that were taken as risks; a release records them."""
        return self.standing(Standing.ACCEPTED)

    def standing(self, standing: Standing) -> tuple[Finding, ...]:
        """The findings of one standing."""
        return tuple(item for item in self.items if item.standing is standing)

    def codes(self, service: str | None = None) -> tuple[str, ...]:
        """The codes found, of one service or of all."""
        return tuple(item.code for item in self.items if service in (None, item.service))

    def accepting(self, accept: Iterable[str]) -> Findings:
        """The same with some errors taken as risks.

        Args:
            accept: `CODE` or `CODE:SERVICE`.

        Raises:
            Refused: A code that does not exist, or one that no acceptance can help.
        """
        wanted = check_accept(accept)
        return collect(
            replace(item, accepted=True)
            if item.severity is Severity.ERROR and wanted & {item.code, f"{item.code}:{item.service}"}
            else item
            for item in self.items
        )

    def concerning(self, services: Collection[str]) -> Findings:
        """Without what concerns only other services."""
        chosen = set(services)
        kept = (item for item in self.items if not item.service or chosen & {item.service, *item.also})
        return Findings(tuple(kept))

    def refuse(self) -> Findings:
        """Go on with what is left.

        Raises:
            PreflightRefused: There are errors that nobody accepted.
        """
        if self.errors:
            raise PreflightRefused(self)
        return self

    def lines(self) -> tuple[str, ...]:
        """One plain line per finding."""
        return tuple(str(item) for item in self.items)

    def rows(self) -> tuple[tuple[str, str, str, str, str], ...]:
        """For a table: standing, code, place, what, next."""
        return tuple((item.standing.value, item.code, item.place, item.what, item.next) for item in self.items)

    def markdown(self) -> str:
        """A Markdown table."""
        if not self.items:
            return "Nothing found.\n"
        head = "| | code | where | what | next |\n|---|---|---|---|---|\n"
        cells = ([_cell(cell) for cell in row] for row in self.rows())
        return head + "".join(f"| {' | '.join(row)} |\n" for row in cells)

    def record(self) -> list[dict[str, Any]]:
        """For JSON: a release, a journal, `--json`."""
        return [{**asdict(item), "severity": item.severity.value, "also": list(item.also)} for item in self.items]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def collect(items: Iterable[Finding]) -> Findings:
    """Findings without doubles, worst first, then in the order in which they were found."""
    return Findings(tuple(sorted(dict.fromkeys(items), key=lambda item: ORDER.index(item.standing))))


def judge(items: Iterable[Finding], *, own: bool) -> Findings:
    """Weigh what the checks found for the stack at hand.

    Args:
        items: What the checks found.
        own: One of our own stacks, where some warnings are errors.
    """
    return collect(replace(item, own=own) for item in items)


def check_accept(accept: Iterable[str]) -> frozenset[str]:
    """The accepted risks.

    Raises:
        Refused: Codes that do not exist or cannot be accepted, all at once.
    """
    wanted = frozenset(entry.strip() for entry in accept if entry.strip())
    unknown = sorted(entry for entry in wanted if entry.partition(":")[0] not in CODES)
    fixed = sorted(entry for entry in wanted - set(unknown) if not CODES[entry.partition(":")[0]].acceptable)
    problems = [f"{entry}: no such code" for entry in unknown]
    problems += [f"{entry}: cannot be accepted, nothing would work" for entry in fixed]
    if problems:
        raise Refused("; ".join(problems), where="--accept", next="the codes are in docs/preflight.md")
    return wanted

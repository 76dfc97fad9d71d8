"""What a deployment did, as values and as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from compose.stack.errors import Exit
from compose.stack.phases import Phase
from compose.stack.plan import Action, Plan

GOOD = {"ready", "completed", "unchanged", "running", "done", "removed", "none"}


class ServiceReport(BaseModel):
    """One service's part.

    Args:
        state: ready, running (nothing proves more), completed, unchanged, done, removed, failed, upstream failed.
        seconds: From its turn to ready.
        gap: Seconds without it, when it was replaced.
        began, ended: Seconds since the walk began.
    """

    model_config = ConfigDict(frozen=True)

    service: str
    phase: int
    action: str
    state: str
    reason: str = ""
    proof: str = ""
    seconds: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    gap: float | None = None
    before: float | None = None

    @property
    def ok(self) -> bool:
        """True unless it failed or was not started."""
        return self.state in GOOD


class Outcome(BaseModel):
    """How any work on a stack ended.

    Args:
        headline: In one sentence.
        recorded: Whether the Prefect server kept the run.
    """

    stack: str
    exit_code: int = 0
    headline: str = ""
    errors: list[str] = Field(default_factory=list)
    recorded: bool = True

    @property
    def failed(self) -> bool:
        """True when the exit code says so."""
        return self.exit_code != Exit.DONE


class DeployReport(Outcome):
    """A whole deployment."""

    project: str
    mode: str
    kind: str = "deploy"
    outcomes: dict[str, ServiceReport] = Field(default_factory=dict)
    plan: list[dict[str, Any]] = Field(default_factory=list)
    findings: list[str] = Field(default_factory=list)
    orphans: list[str] = Field(default_factory=list)
    release: int | None = None
    plain_command: list[str] = Field(default_factory=list)
    critical_path: list[str] = Field(default_factory=list)
    seconds: float = 0.0
    create_to_ready: float = 0.0
    predicted: float | None = None
    phases: dict[int, float] = Field(default_factory=dict)


def plan_rows(plan: Plan) -> list[dict[str, Any]]:
    """The plan as rows, for tables and JSON."""
    return [
        {
            "service": step.service,
            "phase": step.phase.value,
            "action": step.action.value,
            "why": "; ".join(step.reasons),
            "proven by": str(step.readiness.probe),
            "because": step.readiness.why,
            "binding": step.readiness.binding,
            "ready within": step.readiness.within,
            "downtime": step.downtime,
            "volumes": list(step.volumes) if step.action is not Action.UNCHANGED else [],
            "image to get": plan.images.get(step.service, ""),
        }
        for step in plan.steps
    ]


def phase_rows(outcomes: Mapping[str, ServiceReport], times: Mapping[int, float]) -> list[dict[str, str]]:
    """The twelve phases with their services, time and verdict; an empty one says so.

    Args:
        outcomes: What became of each service.
        times: Seconds of the phases that are no services (validation, secrets, directories, …).
    """
    rows = []
    for phase in Phase:
        mine = [outcome for outcome in outcomes.values() if outcome.phase == phase]
        spent = max((o.ended for o in mine), default=0.0) - min((o.began for o in mine), default=0.0)
        bad = [o.service for o in mine if not o.ok]
        verdict = f"failed: {', '.join(bad)}" if bad else "passed" if mine or phase in times else "nothing to do"
        rows.append(
            {
                "phase": f"{phase.value}. {phase.title}",
                "services": ", ".join(o.service for o in mine) or "-",
                "seconds": f"{spent + times.get(phase.value, 0.0):.1f}",
                "verdict": verdict,
            }
        )
    return rows


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table."""
    if not rows:
        return "*nothing*"
    keys = list(rows[0])
    cells = [[_cell(row.get(key)) for key in keys] for row in rows]
    lines = [f"| {' | '.join(keys)} |", f"|{'---|' * len(keys)}"]
    return "\n".join(lines + [f"| {' | '.join(line)} |" for line in cells])


def _cell(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "-"
    if isinstance(value, float):
        return f"{value:.1f}"
    text = ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def plan_markdown(report: DeployReport) -> str:
    """The plan as a page; its headline is the page's description."""
    return "\n\n".join(
        [
            f"# Plan for {report.stack} (project {report.project})",
            markdown_table(report.plan),
            bullets("Findings", report.findings),
            bullets("Orphans (named, never removed unasked)", report.orphans),
        ]
    )


def report_markdown(report: DeployReport) -> str:
    """The report as a page; its headline is the page's description."""
    rows = [
        {
            "service": o.service, "action": o.action, "state": o.state, "seconds": o.seconds,
            "before": o.before, "without it": o.gap, "proof": o.proof, "why": o.reason,
        }
        for o in sorted(report.outcomes.values(), key=lambda o: o.ended)
    ]  # fmt: skip
    return "\n\n".join(
        [
            f"# {report.kind.title()} of {report.stack} (project {report.project})",
            markdown_table(rows),
            f"Critical path: {' → '.join(report.critical_path) or '-'}",
            markdown_table(phase_rows(report.outcomes, report.phases)),
            bullets("Errors", report.errors),
            bullets("Findings", report.findings),
            bullets("Orphans (named, never removed unasked)", report.orphans),
            f"The same by hand: `{' '.join(report.plain_command)}`",
        ]
    )


def bullets(title: str, lines: Sequence[str]) -> str:
    return f"**{title}**\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""

"""A verification as people and programs read it: table, history, alert."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any

from compose.stack.verdicts import Change, Level, Mark, Report, ServiceVerdict, Verdict

SIGNS = {Mark.PASSED: "✓", Mark.FAILED: "✗", Mark.NOT_PROVEN: "○"}
LAST = 10
RUNS = 20


def run_record(report: Report) -> dict[str, Any]:
    """One verification as its history keeps it; times in milliseconds."""
    services = {service.service: {"mark": service.mark.value, **_times(service)} for service in report.services}
    return {
        "at": _time(report.began),
        "level": report.level.value,
        "verdict": report.verdict.value,
        "seconds": {level.value: round(took, 3) for level, took in report.seconds},
        "note": report.note,
        "services": services,
    }


def _times(service: ServiceVerdict) -> dict[str, float]:
    times = {level.value: service.seconds(level) for level in Level}
    return {level: round(took * 1000, 1) for level, took in times.items() if took is not None}


def as_dict(report: Report, change: Change | None = None) -> dict[str, Any]:
    """The whole report for programs."""
    return {
        "stack": report.stack,
        "project": report.project,
        "level": report.level.value,
        "raised": report.raised,
        "verdict": report.verdict.value,
        "summary": report.sentence,
        "note": report.note,
        "at": _time(report.began),
        "seconds": {level.value: round(took, 3) for level, took in report.seconds},
        "counts": {mark.value: len(report.marked(mark)) for mark in Mark},
        "reasons": list(report.reasons),
        "changed": change.sentence if change else None,
        "services": [_service(service) for service in report.services],
    }


def _service(service: ServiceVerdict) -> dict[str, Any]:
    findings = [
        {
            "level": finding.level.value,
            "mark": finding.mark.value,
            "check": finding.check,
            "detail": finding.detail,
            "ms": round(finding.seconds * 1000, 1),
        }
        for finding in service.findings
    ]
    return {"service": service.service, "mark": service.mark.value, "findings": findings}


def rows(report: Report, history: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, str]]:
    """The table: failed services first, then what is not proven, then the rest in the file's order.

    Args:
        history: Earlier verifications, oldest first, for the usual times and the last marks.
    """
    order = {Mark.FAILED: 0, Mark.NOT_PROVEN: 1, Mark.PASSED: 2}
    services = sorted(report.services, key=lambda service: order[service.mark])
    return [_row(service, report.level, history) for service in services]


def _row(service: ServiceVerdict, deepest: Level, history: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    row = {"service": service.service, "verdict": service.mark.value}
    for level in deepest.included:
        row[level.value] = _cell(service, level)
        usual = usual_ms(history, service.service, level)
        if level is deepest:
            row["usual"] = f"{usual:.0f} ms" if usual is not None else ""
    row["last"] = last_marks(history, service.service) + SIGNS[service.mark]
    row["how"] = how(service)  # the long one comes last
    return row


def _cell(service: ServiceVerdict, level: Level) -> str:
    if not any(finding.level is level for finding in service.findings):
        return "not asked"
    mark, took = service.at(level), service.seconds(level)
    shown = f" {took * 1000:.0f} ms" if took and mark is Mark.PASSED else ""
    return f"{SIGNS[mark]}{shown}" if mark is not Mark.NOT_PROVEN else f"{SIGNS[mark]} not proven"


def how(service: ServiceVerdict) -> str:
    """Why it is not passed, or how it was proven at its deepest level."""
    if service.mark is not Mark.PASSED:
        return "; ".join(service.reasons)
    findings = [finding for finding in service.findings if finding.level is service.level]
    return "; ".join(finding.detail or finding.check for finding in findings)


def usual_ms(history: Sequence[Mapping[str, Any]], service: str, level: Level) -> float | None:
    """The median time of the last runs in which a service passed at a level, in milliseconds."""
    entries = [(run.get("services") or {}).get(service) or {} for run in history[-RUNS * 4 :]]
    times = [float(entry[level.value]) for entry in entries if entry.get(level.value) is not None]
    return median(times[-RUNS:]) if times else None


def last_marks(history: Sequence[Mapping[str, Any]], service: str) -> str:
    """The marks of the last runs, oldest first; a dot where it was not judged."""
    signs = {mark.value: sign for mark, sign in SIGNS.items()}
    entries = [(run.get("services") or {}).get(service) or {} for run in history[-LAST + 1 :]]
    return "".join(signs.get(str(entry.get("mark")), "·") for entry in entries)


def markdown(report: Report) -> str:
    """What stands above the table."""
    times = ", ".join(f"{level} {took:.2f} s" for level, took in report.seconds)
    lines = [f"**{report.stack}**: {report.sentence} ({_time(report.began)}{', ' + times if times else ''})"]
    if report.raised:
        lines.append(f"Checked down to `{report.level}`, since the last failure was there.")
    lines += [f"- {reason}" for reason in report.reasons]
    lines.append("✓ passed, ✗ failed, ○ not proven (no check is known, which is never taken for passed)")
    return "\n\n".join(lines)


def alert_of(change: Change) -> dict[str, Any]:
    """A change as the webhook gets it; `text` is what Slack and its like show."""
    sign = "✅" if change.now is Verdict.PASSED else "🔴"
    return {
        "text": f"{sign} {change.sentence}",
        "stack": change.stack,
        "verdict": change.now.value,
        "before": change.before.value if change.before else None,
        "level": change.level.value,
        "reasons": list(change.reasons),
        "at": _time(change.at),
        "lasted_seconds": round(change.lasted) if change.lasted is not None else None,
    }


def _time(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")

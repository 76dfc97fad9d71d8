"""How work on backups ended: a verification, a copy, an expiry, a change of keys."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from compose.stack.report import Outcome, bullets, markdown_table


class WorkReport(Outcome):
    """What was done to backups that are there.

    Args:
        what: `verify-backup`, `copy`, `expire`, `rekey` or `freshness`.
        rows: One per backup, or per file that is wrong.
    """

    what: str
    rows: list[dict[str, Any]] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)


def work_markdown(report: WorkReport) -> str:
    """The report as a page; its headline is the page's description."""
    return "\n\n".join(
        part
        for part in (
            f"# {report.what.capitalize()} of backups of {report.stack}",
            markdown_table(report.rows) if report.rows else "",
            bullets("Problems", report.errors),
            bullets("Notes", report.notes),
        )
        if part
    )

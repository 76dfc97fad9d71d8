"""What a backup did, as values and as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from compose.stack.backup.plan import megabytes
from compose.stack.report import Outcome, bullets, markdown_table


class ComponentReport(BaseModel):
    """One component's part.

    Args:
        state: `saved` or `failed`.
        plain: Bytes of the store's own format; `stored`: what they take; `new`: what was added to a target.
        downtime: Seconds without its services; None where nothing was stopped.
        holds: What is inside, in a few words.
    """

    model_config = ConfigDict(frozen=True)

    component: str
    kind: str
    how: str
    state: str
    plain: int = 0
    stored: int = 0
    new: int = 0
    seconds: float = 0.0
    downtime: float | None = None
    checked: str = "none"
    holds: str = ""
    reason: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """True when it is in the backup."""
        return self.state == "saved"


class TargetReport(BaseModel):
    """What became of one target: `complete`, or why it has no backup now."""

    model_config = ConfigDict(frozen=True)

    target: str
    state: str
    reason: str = ""

    @property
    def ok(self) -> bool:
        """True when the backup is there."""
        return self.state == "complete"


class BackupReport(Outcome):
    """A whole backup.

    Args:
        id: Its name; empty for a plan.
        complete: Every component of the stack is in it, on every target.
        writers_stop: Seconds that the writers stood still at the consistency point.
    """

    project: str = ""
    mode: str = "apply"
    id: str = ""
    complete: bool = False
    components: list[ComponentReport] = Field(default_factory=list)
    targets: list[TargetReport] = Field(default_factory=list)
    plan: list[dict[str, Any]] = Field(default_factory=list)
    waived: list[str] = Field(default_factory=list)
    left_out: list[str] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    writers: list[str] = Field(default_factory=list)
    writers_stop: float | None = None
    seconds: float = 0.0


def headline(report: BackupReport) -> str:
    """The outcome in one sentence."""
    bad = [one.component for one in report.components if not one.ok]
    lost = [one.target for one in report.targets if not one.ok]
    said = f"{report.id}: " if report.id else ""
    saved = [one for one in report.components if one.ok]
    read, added = megabytes(sum(c.plain for c in saved)), megabytes(sum(c.new for c in saved))
    total = f"{len(saved)} components, {read} read, {added} added"
    if bad:
        said += f"not complete: {', '.join(bad)} failed; {total}"
    elif lost and len(lost) == len(report.targets):
        said += f"no target has it: {', '.join(lost)} failed"
    elif lost:
        said += f"{total}; but {', '.join(lost)} failed (./ops copy completes it)"
    else:
        said += total
    return f"{said} ({report.seconds:.1f} s)"


def component_rows(report: BackupReport) -> list[dict[str, Any]]:
    """The components as rows for people."""
    return [
        {
            "component": one.component, "how": one.how, "state": one.state, "read": megabytes(one.plain),
            "stored": megabytes(one.stored), "added": megabytes(one.new), "seconds": one.seconds,
            "downtime": one.downtime, "checked": one.checked, "holds": one.holds or one.reason,
        }
        for one in report.components
    ]  # fmt: skip


def backup_markdown(report: BackupReport) -> str:
    """The report as a page; its headline is the page's description."""
    targets = [{"target": t.target, "state": t.state, "why": t.reason} for t in report.targets]
    stood = (
        f"Writers ({', '.join(report.writers)}) stood still for {report.writers_stop:.1f} s."
        if report.writers_stop
        else ""
    )
    return "\n\n".join(
        part
        for part in (
            f"# Backup of {report.stack}",
            markdown_table(component_rows(report)),
            markdown_table(targets),
            stood,
            bullets("Errors", report.errors),
            bullets("Left out, because nothing encrypts it", report.left_out),
            bullets("Waived", report.waived),
            bullets("Notes", report.notes),
        )
        if part
    )


def backup_plan_markdown(report: BackupReport) -> str:
    """The plan as a page; its headline is the page's description."""
    shown = [
        {**row, "bytes": megabytes(row["bytes"]) if row.get("bytes") is not None else None} for row in report.plan
    ]
    return "\n\n".join(
        (
            f"# Plan of a backup of {report.stack}",
            markdown_table(shown),
            bullets("Problems", report.errors),
            bullets("Notes", report.notes),
        )
    )


def holds(fingerprint: Mapping[str, Any]) -> str:
    """A fingerprint in a few words: its counts."""
    counts = [
        _counted(value, key)
        for key, value in fingerprint.items()
        if isinstance(value, int) and not isinstance(value, bool)
    ]
    lists = [
        _counted(len(value), key)
        for key, value in fingerprint.items()
        if isinstance(value, (Mapping, Sequence)) and not isinstance(value, str)
    ]
    return ", ".join((*lists, *counts)[:4])


def _counted(number: int, key: str) -> str:
    """`1 database`, `3 secret files`."""
    name = key.replace("_", " ")
    if number == 1 and name != "series":
        name = f"{name[:-3]}y" if name.endswith("ies") else name.removesuffix("s")
    return f"{number} {name}"

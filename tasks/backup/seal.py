"""The end of a backup: every blob is there, then the RUNBOOK, the signature, and last the manifest."""

from __future__ import annotations

import logging
import platform
from datetime import UTC, datetime
from importlib.metadata import version

from compose.stack import commands
from compose.stack.backup.component import Component
from compose.stack.backup.manifest import Manifest, WaiverRecord
from compose.stack.backup.records import Verified
from compose.stack.backup.report import TargetReport
from compose.stack.backup.runbook import runbook
from compose.stack.errors import Failed, OpsError
from tasks.backup.begin import Begun
from tasks.releases import last

log = logging.getLogger("ops.backup")


def seal(begun: Begun) -> tuple[TargetReport, ...]:
    """Make what was saved a backup, on every target where all of it arrived.

    A backup that lacks components says so and never counts as complete; one that has none is not made.

    Raises:
        Failed: Nothing was saved at all.
    """
    if not begun.saver.records:
        reasons = "; ".join(report.reason for report in begun.saver.reports.values())
        raise Failed(f"no component was saved: {reasons}", where="backup")
    begun.work.journal("seal", "begin", backup=begun.identifier)
    manifest = manifest_of(begun)
    outcome = begun.writer.finish(manifest, begun.keyring, runbook(manifest))
    begun.complete = True
    begun.work.journal("seal", "end", backup=begun.identifier)
    if begun.request.verify == "content" and manifest.complete and not begun.pool.reused:
        _put_on_record(begun, manifest)
    return tuple(_state(name, error) for name, error in {**outcome, **begun.unreachable}.items())


def manifest_of(begun: Begun) -> Manifest:
    """Everything that is known of the backup."""
    work, plan, saver = begun.work, begun.prepared.plan, begun.saver
    latest = last(work)
    chosen = [saver.records[c.name] for c in begun.components if c.name in saver.records]
    failed = [
        WaiverRecord(what=component.name, reason=_why(begun, component))
        for component in begun.components
        if component.name not in saver.records
    ]
    left = [WaiverRecord(what=name, reason="not chosen") for name in plan.left]
    return Manifest(
        id=begun.identifier,
        stack=work.found.name,
        stack_id=begun.identity.stack_id,
        project=work.name,
        compose=commands.compose(work.project),
        host=platform.node(),
        product=version("sutazai-operations"),
        began=begun.began,
        ended=datetime.now(UTC),
        release=latest.number if latest else None,
        release_hash=latest.hash if latest else "",
        recipients=begun.writer.recipients,
        consistency=begun.consistency,
        components=tuple(chosen),
        waived=tuple(WaiverRecord(what=w.what, reason=work.redactor.text(w.reason)) for w in plan.waived),
        missing=(*failed, *left),
        left_out=begun.left_out,
        notes=tuple(work.redactor.text(note) for note in plan.notes),
    )


def _why(begun: Begun, component: Component) -> str:
    report = begun.saver.reports.get(component.name)
    return f"failed: {report.reason}" if report else "failed"


def _state(name: str, error: OpsError | None) -> TargetReport:
    return TargetReport(target=name, state="complete" if error is None else "failed", reason=str(error or ""))


def _put_on_record(begun: Begun, manifest: Manifest) -> None:
    """What was read by its own tool on its way is proven; by its bytes only where no tool reads it.

    Blobs that lay in the pool before were not read, and so prove nothing: then it is for `verify-backup`.
    """
    from blocks.backup.shelf import Shelf

    checked = {component.name: component.checked for component in manifest.components}
    if any(level == "none" for level in checked.values()):
        return
    for target in begun.writer.living.values():
        shelf = Shelf(target, begun.identity.stack_id, begun.keyring)
        try:
            fact = Verified(level="content", details={"when": "while it was saved"})
            shelf.append_record(begun.identifier, fact)
        except OpsError as error:  # the backup itself is complete, and stays so
            log.warning("%s: what was proven is not on record: %s", target.name, error)

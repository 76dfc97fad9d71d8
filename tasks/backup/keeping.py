"""Keeping backups: pins, copies to targets that lack one, and letting go what the policy does not keep."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from blocks.backup.copying import copy_backup as copied
from blocks.backup.identity import Identity, claim, own_identity
from blocks.backup.pool_sweep import sweep_pool
from blocks.backup.shelf import Survey
from blocks.backup.signing import Keyring
from blocks.engine import Engine
from blocks.home import Home
from compose.stack.backup.outcome import WorkReport
from compose.stack.backup.plan import megabytes
from compose.stack.backup.records import Pinned, Unpinned
from compose.stack.backup.request import CopyRequest, ExpireRequest, PinRequest
from compose.stack.errors import Exit, Failed, OpsError
from tasks.backup.shelves import Shelfful, gather
from tasks.backup.turn import backup_turn
from tasks.operate import open_stack
from tasks.steps import Steps

log = logging.getLogger("ops.backup")


def pin_backup(request: PinRequest, home: Home, runner: Steps) -> WorkReport:
    """Pin a backup on every target that has it, or take the pin away."""
    shelves = runner.step("look at every target", lambda: gather(home, request, request.to))
    name = shelves.chosen(request.id)
    having = shelves.having(name)
    if not having:
        raise Failed("no target has this backup", where=name, next="./ops backups")
    fact = Unpinned(reason=request.reason) if request.remove else Pinned(reason=request.reason)
    for one in having:
        one.shelf.append_record(name, fact)
    said = "is not pinned any more" if request.remove else f"is pinned ({request.reason})"
    where = ", ".join(one.name for one in having)
    return WorkReport(what="pin", stack=shelves.stack, headline=f"{name} {said} on {where}")


def expire_backups(request: ExpireRequest, home: Home, runner: Steps) -> WorkReport:
    """Show, per target, what goes and why; remove it when told to, then the blobs that nobody names any more.

    Raises:
        Locked: A backup of this stack runs.
    """
    project = open_stack(home, request).project
    with backup_turn(Engine.connect().id, project, "expire"):
        shelves = runner.step("look at every target", lambda: gather(home, request, request.to))
        rows: list[dict[str, Any]] = []
        errors = [*shelves.problems]
        for one in shelves.shelves:
            before, stay, wrong = one.shelf.survey(), frozenset[str](), list[str]()
            if one.expiry is None:
                wrong = [f"{one.name}: {one.held}"]
            elif request.apply:
                stay, wrong = runner.step(f"expire on {one.name}", lambda one=one: _removed(one))  # type: ignore[misc]
            rows += _rows(one, before, stay, apply=request.apply)
            errors += wrong
    gone = sum(row["what"] in {"removed", "would go"} for row in rows)
    kept = sum(row["what"] == "kept" for row in rows)
    verb = "removed" if request.apply else "would go (--apply removes them)"
    said = f"{kept} kept, {gone} {verb}" + (f"; {len(errors)} problems" if errors else "")
    code = Exit.FAILED if errors else Exit.DONE
    return WorkReport(what="expire", stack=shelves.stack, headline=said, rows=rows, errors=errors, exit_code=code)


def _rows(one: Shelfful, survey: Survey, stay: frozenset[str], *, apply: bool) -> list[dict[str, Any]]:
    """What became of each backup.

    Args:
        survey: What lay there before.
        stay: What could not be removed.
    """
    known = one.expiry
    rows = []
    for name in sorted({*one.manifests, *one.unreadable}, reverse=True):
        goes = known is not None and name in known.remove
        what = "kept" if not goes else "would go" if not apply else "not removed" if name in stay else "removed"
        why = known.reasons.get(name, ()) if known else (one.held,)
        rows.append(
            {
                "target": one.name,
                "backup": name,
                "what": what,
                "size": megabytes(survey.bytes(name)),
                "why": "; ".join(why),
            }
        )
    return rows


def _removed(one: Shelfful) -> tuple[frozenset[str], list[str]]:
    """Remove what goes, oldest first, then sweep the pool; what stays, and all that could not be done."""
    errors, stay = list[str](), set[str]()
    assert one.expiry is not None
    for name in sorted(one.expiry.remove):
        try:
            one.shelf.delete_backup(name)
            log.info("%s: %s removed (%s)", one.name, name, "; ".join(one.expiry.reasons[name]))
        except OpsError as error:
            stay.add(name)
            errors.append(f"{one.name}: {name} stays: {error}")
    try:
        swept = sweep_pool(one.shelf, datetime.now(UTC))
        if swept.removed:
            log.info("%s: %d blobs that nothing names any more removed", one.name, len(swept.removed))
        errors += [f"{one.name}: the pool stays as it is: {swept.held}"] if swept.held else []
    except OpsError as error:
        errors.append(f"{one.name}: the pool stays as it is: {error}")
    return frozenset(stay), errors


def copy_backup(request: CopyRequest, home: Home, runner: Steps) -> WorkReport:
    """Copy a backup to every target that lacks it.

    Raises:
        Locked: A backup of this stack runs.
        Failed: No target has it.
    """
    project = open_stack(home, request).project
    with backup_turn(Engine.connect().id, project, "copy"):
        shelves = runner.step("look at every target", lambda: gather(home, request))
        wider = gather(home, request, request.to) if request.to else shelves
        name = shelves.chosen(request.id)
        having = shelves.having(name) or wider.having(name)
        sources = [one for one in having if not request.source or one.name == request.source]
        if not sources:
            raise Failed("no target to read it from has this backup", where=name, next="./ops backups")
        lacking = [one for one in wider.shelves if one.name not in {h.name for h in having}]
        keyring = Keyring.of(home)
        identity = own_identity(home, shelves.stack, keyring)
        rows, errors = [], list(wider.problems)
        for one in lacking:
            row, error = _copied(sources[0], one, name, request.trust, identity, keyring, runner)
            rows.append(row)
            errors += [error] if error else []
    done = [row["target"] for row in rows if row["state"] == "complete"]
    said = f"copied to {', '.join(done)}" if done else "not copied" if lacking else "is on every target already"
    code = Exit.FAILED if errors else Exit.DONE
    return WorkReport(
        what="copy", stack=shelves.stack, headline=f"{name} {said}", rows=rows, errors=errors, exit_code=code
    )


def _copied(
    source: Shelfful, one: Shelfful, name: str, trust: bool, identity: Identity, keyring: Keyring, runner: Steps
) -> tuple[dict[str, Any], str]:
    """Copy to one target; its row, and what went wrong."""

    def work() -> None:
        claim(one.shelf.target, identity, keyring)
        copied(source.shelf, one.shelf, name, trust=trust)

    row = {"target": one.name, "state": "complete", "from": source.name}
    try:
        runner.step(f"copy to {one.name}", work)
    except OpsError as error:
        return {**row, "state": "failed"}, f"{one.name}: {error}"
    return row, ""

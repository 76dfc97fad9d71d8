"""Keeping backups: pins, copies to targets that lack one, and letting go what the policy does not keep."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from blocks.backup.copying import copy_backup as copied
from blocks.backup.identity import claim, own_identity
from blocks.backup.places import Places
from blocks.backup.pool_place import note_written
from blocks.backup.pool_sweep import sweep_pool
from blocks.backup.shelf import Survey
from blocks.backup.signing import Keyring
from blocks.backup.verify import verify_bytes
from blocks.engine import Engine
from blocks.home import Home
from compose.stack.backup.outcome import WorkReport
from compose.stack.backup.plan import megabytes
from compose.stack.backup.records import Accepted, Pinned, Unpinned
from compose.stack.backup.request import CopyRequest, ExpireRequest, PinRequest
from compose.stack.errors import Exit, Failed, OpsError, Refused
from tasks.backup.shelves import Shelfful, Shelves, gather
from tasks.backup.targets import configured
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

    Every target of the settings is asked what it knows, also where only others are to be changed.

    Raises:
        Locked: A backup of this stack runs.
        Refused: A drop was accepted, and there is none.
    """
    project = open_stack(home, request).project
    with backup_turn(Engine.connect().id, project, "expire"):
        shelves = runner.step("look at every target", lambda: gather(home, request, request.to, beside=True))
        if request.accept_drop:
            _accept(shelves, request.accept_drop)
            shelves = gather(home, request, request.to, beside=True)
        rows: list[dict[str, Any]] = []
        errors = [*shelves.problems]
        asked = {target.name for target in configured(home, request.to)}
        for one in (one for one in shelves.shelves if one.name in asked):
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


def _accept(shelves: Shelves, reason: str) -> None:
    """Put on record that the last backup may be as small as it is."""
    fresh = shelves.freshness
    if not fresh.shrunk:
        raise Refused("nothing has shrunk", where="--accept-drop", next="./ops expire without it")
    for one in shelves.having(fresh.last):
        one.shelf.append_record(fresh.last, Accepted(reason=reason))


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
    """Copy a backup to every target that lacks it, and mend it where it was found damaged.

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
        source = min(sources, key=lambda one: len(one.facts[name].damaged))
        lacking = [one for one in wider.shelves if one.name not in {h.name for h in having}]
        damaged = [one for one in wider.having(name) if one.facts[name].damaged]
        copying = _Copying(home, shelves.stack, source, name, request.trust, runner)
        found = [*map(copying.to, lacking), *map(copying.mended, damaged)]
    rows, errors = [row for row, _ in found], [*wider.problems, *(error for _, error in found if error)]
    return WorkReport(
        what="copy", stack=shelves.stack, headline=f"{name} {_copied(rows)}", rows=rows, errors=errors,
        exit_code=Exit.FAILED if errors else Exit.DONE,
    )  # fmt: skip


def _copied(rows: list[dict[str, Any]]) -> str:
    """What became of a copy, in a few words."""
    if not rows:
        return "is on every target already"
    done = {state: [row["target"] for row in rows if row["state"] == state] for state in ("complete", "mended")}
    said = [f"copied to {', '.join(done['complete'])}"] if done["complete"] else []
    said += [f"mended on {', '.join(done['mended'])}"] if done["mended"] else []
    return "; ".join(said) or "not copied"


@dataclass(frozen=True)
class _Copying:
    """Copies one backup from one target to others."""

    home: Home
    stack: str
    source: Shelfful
    name: str
    trust: bool
    runner: Steps

    def to(self, one: Shelfful) -> tuple[dict[str, Any], str]:
        """Copy to one target that lacks it; its row, and what went wrong."""
        return self._done(one, "complete", f"copy to {one.name}", lambda: self._copy(one))

    def mended(self, one: Shelfful) -> tuple[dict[str, Any], str]:
        """Write anew what is damaged on one target, and read all of it back; its row, and what went wrong."""
        return self._done(one, "mended", f"mend on {one.name}", lambda: self._mend(one))

    def _done(self, one: Shelfful, state: str, title: str, work: Callable[[], None]) -> tuple[dict[str, Any], str]:
        row = {"target": one.name, "state": state, "from": self.source.name}
        try:
            self.runner.step(title, work)
        except OpsError as error:
            return {**row, "state": "failed"}, f"{one.name}: {error}"
        return row, ""

    def _copy(self, one: Shelfful, *, mend: bool = False) -> None:
        keyring, target = Keyring.of(self.home), one.shelf.target
        places = Places.of(self.home, self.stack)
        claim(target, own_identity(self.home, self.stack, keyring), keyring, places=places)
        done = copied(self.source.shelf, one.shelf, self.name, trust=self.trust, mend=mend)
        index = self.home.stack(self.stack) / "pool-index.sqlite"
        if done.blobs:
            note_written(target, one.shelf.stack_id, index, done.blobs)

    def _mend(self, one: Shelfful) -> None:
        if self.source.facts[self.name].damaged:
            what = f"is damaged, and so is what {self.source.name} has: {one.facts[self.name].damaged[0]}"
            raise Failed(what, where=self.name, next="./ops backup: the next one writes it anew")
        self._copy(one, mend=True)
        looked = verify_bytes(one.shelf, self.name, trust=self.trust)
        if looked.fact:
            one.shelf.append_record(self.name, looked.fact)
        for found in (*looked.problems, *looked.unread):
            raise Failed(f"is still damaged: {found}", where=self.name, next="./ops verify-backup")

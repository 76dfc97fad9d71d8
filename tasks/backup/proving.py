"""Proving that a backup can be read: its bytes, or its content by each store's own tool; put on record."""

from __future__ import annotations

import logging
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from blocks.backup.identities import NOBODY, Identities, read_identities
from blocks.backup.pool_content import read_pool
from blocks.backup.pool_place import note_damaged
from blocks.backup.reader import read_file
from blocks.backup.shelf import Shelf, Shelved
from blocks.backup.verify import verify_bytes
from blocks.engine import Engine
from blocks.home import Home
from blocks.stores.scratch import sweep
from compose.stack.backup.component import Kind
from compose.stack.backup.manifest import ComponentRecord, FileRecord, Manifest
from compose.stack.backup.outcome import WorkReport
from compose.stack.backup.plan import megabytes
from compose.stack.backup.postgres_compare import roles_of
from compose.stack.backup.records import Verified
from compose.stack.backup.request import VerifyBackupRequest
from compose.stack.errors import Damaged, Exit, Failed, OpsError, Refused
from tasks.backup.content import content_check, plain_path
from tasks.backup.procedure import Check
from tasks.backup.shelves import Shelfful, Shelves, gather
from tasks.steps import Steps

log = logging.getLogger("ops.backup")
ARCHIVE, INDEX = ".tar", ".index.jsonl"
FOREIGN = "signed by a key that is not trusted here"


@dataclass
class Found:
    """What was found on one target.

    Args:
        unread: What could not be read for want of a key, an image, room or an answer; not a fault of the backup.
        notes: What is worth knowing and no fault of anybody.
        vouched: Encrypted files that their own tools read while they were saved: their bytes are still those.
        damaged: Blobs of the pool that do not hold the files that they are listed for.
    """

    problems: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    read: int = 0
    said: str = ""
    notes: list[str] = field(default_factory=list)
    vouched: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def verify_backup(request: VerifyBackupRequest, home: Home, runner: Steps) -> WorkReport:
    """Read a backup on every target that has it, and append what was found to its records.

    Raises:
        Failed: No target has it.
    """
    shelves = runner.step("look at every target", lambda: gather(home, request, request.to))
    name = shelves.chosen(request.id)
    having = shelves.having(name)
    if not having and not request.trust:
        unread = "; ".join(one.unreadable[name] for one in shelves.shelves if name in one.unreadable)
        raise Failed(unread or "no target has this backup", where=name, next="./ops backups")
    asked = having or list(shelves.shelves)
    identities = read_identities(request.identity) if request.identity else NOBODY
    index = home.stack(shelves.stack) / "pool-index.sqlite"
    look_at = _verified if len(asked) == 1 else _verified_or_not
    looks = {one.name: partial(look_at, one, name, request, identities, index) for one in asked}
    found = {target: runner.step(f"verify on {target}", look) for target, look in looks.items()}
    return _report(shelves, name, request, found)


def _report(shelves: Shelves, name: str, request: VerifyBackupRequest, found: dict[str, Found]) -> WorkReport:
    errors = [*shelves.problems, *_named({target: one.problems for target, one in found.items()})]
    unread, on = _named({target: one.unread for target, one in found.items()}), ", ".join(found)
    notes = _named({target: one.notes for target, one in found.items()})
    vouched = {file for one in found.values() for file in one.vouched}
    code = Exit.FAILED if errors or unread else Exit.DONE
    if errors:
        said = f"{name}: {len(errors)} problems: {errors[0]}"
    elif unread:
        said = f"{name}: what could be read is right; not proven: {unread[0]}" + _more(unread)
    elif vouched:
        said = (
            f"{name}: what was read on {on} is as it was written; no key was given, and {len(vouched)} encrypted"
            " files were read by their own tools while they were saved"
        )
    else:
        said = f"{name} is proven at level {request.level} on {on}"
    rows = [
        {"target": target, "backup": name, "read": megabytes(one.read), "found": one.said}
        for target, one in found.items()
    ]
    return WorkReport(
        what="verify-backup", stack=shelves.stack, headline=said, rows=rows, errors=errors,
        notes=[*unread, *notes], exit_code=code,
    )  # fmt: skip


def _more(remarks: list[str]) -> str:
    return f"; and {len(remarks) - 1} more" if len(remarks) > 1 else ""


def _named(remarks: dict[str, list[str]]) -> list[str]:
    """Remarks about each target, with its name."""
    return [f"{target}: {remark}" for target, each in remarks.items() for remark in each]


def _verified_or_not(
    one: Shelfful, name: str, request: VerifyBackupRequest, identities: Identities, index: Path
) -> Found:
    """One of several targets: what ails it does not keep the others from being read."""
    try:
        return _verified(one, name, request, identities, index)
    except OpsError as error:
        return Found(unread=[str(error)], said="not read")


def _verified(
    one: Shelfful, name: str, request: VerifyBackupRequest, identities: Identities, index: Path
) -> Found:
    seed, before = secrets.randbits(31), one.shelf.manifest(name, trust=request.trust)
    looked = verify_bytes(one.shelf, name, sample=request.sample, seed=seed, trust=request.trust)
    found = Found(
        problems=list(looked.problems), unread=list(looked.unread), notes=list(looked.notes), read=looked.bytes,
        said=f"{looked.files} files, {looked.blobs_read} blobs",
    )  # fmt: skip
    fact = looked.fact
    _have_written_anew(one, looked.damaged, index)
    if looked.foreign:
        (found.unread if request.level == "content" else found.notes).append(FOREIGN)
    if fact and fact.passed and request.level == "content":
        try:
            content_of(one.shelf, before.manifest, identities, found, sample=request.sample, seed=seed)
        except OpsError as error:
            found.unread.append(str(error))
        _have_written_anew(one, found.damaged, index)
        if found.problems or not (found.unread or found.vouched):
            wrong = tuple(found.problems[:50])
            details = {**fact.details, "when": "later"}
            fact = Verified(level="content", passed=not wrong, problems=wrong, details=details)
    if fact:
        _append(one, before, fact, found)
    return found


def _have_written_anew(one: Shelfful, damaged: Sequence[str], index: Path) -> None:
    """No later backup of this home names these blobs again as they are."""
    try:
        if damaged:
            note_damaged(one.shelf.target, one.shelf.stack_id, index, damaged)
    except OpsError as error:
        log.warning("%s: the next backup may name damaged blobs again: %s", one.name, error)


def _append(one: Shelfful, before: Shelved, fact: Verified, found: Found) -> None:
    """Put on record what was found, of the very backup that was looked at: keys change, and backups go."""
    try:
        if one.shelf.holds(before):
            one.shelf.append_record(before.manifest.id, fact)
            known = one.shelf.facts(before.manifest.id).damaged
            if fact.passed and known:
                found.unread.append(f"{known[0]}: found before, and such a look does not take it back")
        else:
            found.problems.clear()
            found.unread[:] = ["was replaced or removed while it was read: nothing is on record; the same again"]
    except OpsError as error:
        log.warning("%s: what was found is not on record: %s", one.name, error)


def content_of(
    shelf: Shelf, manifest: Manifest, identities: Identities, found: Found, *, sample: float = 1.0, seed: int = 0
) -> None:
    """Have every file read by its store's own tool, and its blobs opened; all problems are collected.

    Args:
        sample: Fraction of the blobs that is read, chosen by `seed`.
    """
    engine = Engine.connect()
    sweep(engine)
    spool = Path(tempfile.mkdtemp(prefix="ops-verify-"))
    content = _Content(shelf, manifest, identities, engine, spool, found)
    try:
        for component in manifest.components:
            roles = content.roles(component)
            for file in component.all_files:
                content.file(component, file, roles)
            content.pool(component, sample, seed)
            content.trees(component)
    finally:
        shutil.rmtree(spool, ignore_errors=True)


@dataclass
class _Content:
    """Reads the files of one backup, one by one."""

    shelf: Shelf
    manifest: Manifest
    identities: Identities
    engine: Engine
    spool: Path
    found: Found

    def roles(self, component: ComponentRecord) -> tuple[str, ...]:
        """The roles that its dumps need, from the script saved with them; none where it cannot be read."""
        script = next((one for one in component.files if plain_path(one).endswith("/globals.sql")), None)
        if script is None or component.kind is not Kind.POSTGRES:
            return ()
        try:
            return roles_of(b"".join(self._read(script)).decode())
        except (OpsError, UnicodeDecodeError) as error:
            log.debug("%s: %s", script.path, error)  # its own turn comes, and tells
            return ()

    def file(self, component: ComponentRecord, file: FileRecord, roles: tuple[str, ...]) -> None:
        """One file, by what its store offers."""
        found, engine = self.found, self.engine
        if "age" in file.encodings and not self.identities and component.checked == "content":
            found.vouched.append(file.path)
            return
        if "age" in file.encodings and not self.identities:
            found.unread.append(f"{file.path} is encrypted, and no key was given (--identity)")
            return
        image = component.image_id if component.image_id and engine.image(component.image_id) else component.image
        if image and not engine.image(image):
            found.unread.append(f"{file.path}: the image {component.image} of its own tool is not here")
            return
        try:
            index = self._index(component, file)
            check = content_check(
                component.kind,
                plain_path(file),
                component,
                engine,
                image,
                spool=self.spool,
                index=index,
                roles=roles,
                size=file.plain.bytes,
            )
            self._told(file, self._checked(file, check))
        except Damaged as error:
            found.problems.append(f"{file.path}: {error}")
        except OpsError as error:
            found.unread.append(f"{file.path}: {error}")

    def pool(self, component: ComponentRecord, sample: float, seed: int) -> None:
        """Every file of a component that lies in the pool; without the key its list has told so already."""
        pool = component.pool
        if pool is None or ("age" in pool.listing.encodings and not self.identities):
            return
        try:
            looked = read_pool(
                self.shelf.target, self.manifest, component, self.identities, sample=sample, seed=seed
            )
        except (Damaged, Refused) as error:
            self.found.problems.append(f"{component.name}: its pool: {error}")
            return
        except OpsError as error:
            self.found.unread.append(f"{component.name}: its pool: {error}")
            return
        self.found.read += looked.bytes
        self.found.problems += looked.problems
        self.found.unread += looked.unread
        self.found.damaged += looked.damaged
        recorded = component.fingerprint.get("tree_sha256", looked.tree)
        if recorded != looked.tree:
            self.found.problems.append(f"{component.name}: its list of files is not the one that was recorded")

    def trees(self, component: ComponentRecord) -> None:
        """The indexes of archives are those that were recorded; what they list was compared with the archives."""
        recorded = component.fingerprint.get("trees") or [component.fingerprint.get("tree_sha256")]
        indexes = [file.plain.sha256 for file in component.files if plain_path(file).endswith(INDEX)]
        if indexes and recorded not in ([None], indexes):
            self.found.problems.append(
                f"{component.name}: the index of an archive is not the one that was recorded"
            )

    def _index(self, component: ComponentRecord, file: FileRecord) -> Path | None:
        """The index of an archive, as a local file; None where it has none."""
        stem = plain_path(file).removesuffix(ARCHIVE)
        record = next((one for one in component.files if plain_path(one) == stem + INDEX), None)
        if stem == plain_path(file) or record is None:
            return None
        path = self.spool / "index.jsonl"
        with path.open("wb") as local:
            local.writelines(self._read(record))
        return path

    def _checked(self, file: FileRecord, check: Check | None) -> dict[str, Any]:
        try:
            for chunk in self._read(file):
                if check is not None:
                    check.write(chunk)
            return check.finish() if check is not None else {}
        except BaseException:
            if check is not None:
                check.abandon()
            raise

    def _told(self, file: FileRecord, told: dict[str, Any]) -> None:
        self.found.read += file.plain.bytes
        self.found.notes += [f"{file.path}: {note}" for note in told.get("notes", ())]
        self.found.unread += [f"{file.path}: {what}" for what in told.get("unproven", ())]

    def _read(self, file: FileRecord) -> Iterator[bytes]:
        return read_file(self.shelf.target, self.shelf.stack_id, self.manifest.id, file, self.identities)

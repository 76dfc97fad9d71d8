"""Encrypting an old backup anew, to other recipients; it stays readable whenever this is cut short."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from blocks.backup.identities import Identities
from blocks.backup.pool import PoolWriter
from blocks.backup.reader import read_file
from blocks.backup.rekey_pool import RekeyedPool
from blocks.backup.shelf import NEW_SIGNATURE, Shelf, Shelved
from blocks.backup.signing import Keyring
from blocks.backup.writer import BackupWriter
from compose.stack.backup.layout import backup_prefix, encodings_of, plain_path
from compose.stack.backup.manifest import MANIFEST, RUNBOOK, SIGNATURE, ComponentRecord, FileRecord, Manifest
from compose.stack.backup.reading import manifest_bytes, parse_manifest
from compose.stack.backup.records import Rekeyed
from compose.stack.backup.runbook import runbook
from compose.stack.errors import Failed, OpsError, Refused

log = logging.getLogger("ops.backup")
ROUND = re.compile(r"rekey-(\d{1,6})/", re.ASCII)
OWN = {MANIFEST, SIGNATURE, RUNBOOK}


@dataclass
class Rekeying:
    """What became of one backup.

    Args:
        done: Targets where it is encrypted to the wanted recipients now.
        errors: What failed, by target; the backup there is as it was, or readable in its new form.
    """

    backup: str
    done: list[str] = field(default_factory=list)
    errors: dict[str, OpsError] = field(default_factory=dict)


def rekey_backup(
    shelves: Sequence[Shelf],
    backup: str,
    recipients: tuple[str, ...],
    identities: Identities,
    now: datetime,
    index: Path,
) -> Rekeying:
    """Encrypt one backup and its blobs to exactly these recipients, on every target that has it.

    New files are written beside the old ones, then the manifest is replaced, then the old files go. Old blobs go
    with the next sweep of the pool. Cut short, it is done again from the start, or only what is left of it.

    Args:
        shelves: The backup's stack on its targets.
        recipients: As `parse_recipients` gives them.
        identities: Keys that open the backup as it is.
        index: Of the pool, see `PoolWriter`.

    Raises:
        Refused: The backup is not encrypted, or nobody would be able to read it.
        Failed: No target has it, or the keys do not open it.
    """
    if not recipients:
        raise Refused("nobody could read it", where=backup, next="name at least one recipient")
    result = Rekeying(backup)
    groups: dict[bytes, dict[str, tuple[Shelf, Shelved]]] = {}
    for shelf in shelves:
        try:
            shelved = shelf.manifest(backup)
        except OpsError as error:
            result.errors[shelf.target.name] = error
            continue
        groups.setdefault(shelved.data, {})[shelf.target.name] = shelf, shelved
    if not groups:
        raise Failed(f"no target has it: {next(iter(result.errors.values()), '')}", where=backup)
    for group in groups.values():
        old = next(iter(group.values()))[1].manifest
        if not old.recipients:
            raise Refused("it is not encrypted", where=backup, next="make a new backup with recipients")
        if set(old.recipients) != set(recipients):
            group = _again(group, old, recipients, identities, now, index, result)
        for name, (shelf, shelved) in group.items():
            _tidy(shelf, shelved, result)
            if name not in result.errors:
                result.done.append(name)
    return result


def _again(
    group: Mapping[str, tuple[Shelf, Shelved]],
    old: Manifest,
    recipients: tuple[str, ...],
    identities: Identities,
    now: datetime,
    index: Path,
    result: Rekeying,
) -> dict[str, tuple[Shelf, Shelved]]:
    """Write the new files and replace the manifest; the targets where that succeeded."""
    source = next(iter(group.values()))[0]
    keyring = source.keyring
    targets = {name: shelf.target for name, (shelf, _) in group.items()}
    writer = BackupWriter(targets, old.stack_id, old.id, recipients)
    pool = PoolWriter(writer, keyring, index)
    try:
        round_ = _Round(source, old, writer, pool, identities)
        new = _noted(old, recipients, tuple(round_.component(one) for one in old.components), now)
        data = manifest_bytes(new)
        parse_manifest(data)
        writer.check_arrived()
    finally:
        pool.close()
    added, removed = _changes(old, recipients)
    for name in writer.living:
        shelf = group[name][0]
        try:
            _replace(shelf, new, data, keyring)
            shelf.append_record(old.id, Rekeyed(added=added, removed=removed), at=now)
        except OpsError as error:
            writer.lost({name: error})
    result.errors.update(writer.errors)
    return {name: (group[name][0], group[name][0].manifest(old.id)) for name in writer.living}


class _Round:
    """One round of new files, below a directory that no file of the old manifest has."""

    def __init__(
        self, source: Shelf, old: Manifest, writer: BackupWriter, pool: PoolWriter, identities: Identities
    ) -> None:
        self._source, self._old, self._writer = source, old, writer
        self._pool, self._identities = pool, identities
        rounds = [int(found[1]) for file in old.files if (found := ROUND.match(file.path))]
        self._directory = f"rekey-{max(rounds, default=0) + 1}/"

    def component(self, old: ComponentRecord) -> ComponentRecord:
        """The component with its new files."""
        files = {file.path: self._file(file) for file in old.files}
        update: dict[str, object] = {"files": tuple(files.values())}
        if old.sealed:
            update["sealed"] = files[old.sealed].path
        if old.pool:
            pooled = RekeyedPool(self._source, self._old, old, self._pool, self._identities)
            name = self._plain(old.pool.listing).removesuffix("/files.jsonl")
            update["pool"] = pooled.written(self._writer, name)
        return old.model_copy(update=update)

    def _file(self, old: FileRecord) -> FileRecord:
        if "age" not in old.encodings:
            return old
        compress = encodings_of(compress=True, sealed=True) == old.encodings
        how = {"estimate": old.plain.bytes, "secret": old.secret, "compress": compress}
        with self._writer.file(self._plain(old), **how) as sink:  # type: ignore[arg-type]
            for chunk in read_file(self._source.target, self._old.stack_id, self._old.id, old, self._identities):
                sink.write(chunk)
        if sink.record is None:
            raise Failed("was not written to its end", where=old.path)
        return sink.record

    def _plain(self, old: FileRecord) -> str:
        return self._directory + ROUND.sub("", plain_path(old.path, old.encodings), count=1)


def _replace(shelf: Shelf, new: Manifest, data: bytes, keyring: Keyring) -> None:
    """Replace the manifest; before and after the one moment, a signature beside it holds."""
    prefix, signature = backup_prefix(new.stack_id, new.id), keyring.sign(data)
    for name, content in (
        (RUNBOOK, runbook(new).encode()),
        (NEW_SIGNATURE, signature),
        (MANIFEST, data),
        (SIGNATURE, signature),
    ):
        shelf.target.put(prefix + name, content)


def _tidy(shelf: Shelf, shelved: Shelved, result: Rekeying) -> None:
    """Finish what was cut short: the signature in its place, and no file that the manifest does not name."""
    prefix = backup_prefix(shelf.stack_id, shelved.manifest.id)
    named = {file.path for file in shelved.manifest.files} | OWN
    try:
        there = [entry.key[len(prefix) :] for entry in shelf.target.list(prefix)]
        if NEW_SIGNATURE in there:
            shelf.target.put(prefix + SIGNATURE, shelved.signature)
        for name in there:
            if name not in named and not name.startswith("records/"):
                shelf.target.delete(prefix + name)
    except OpsError as error:
        log.warning("%s: old files of %s stay there: %s", shelf.target.name, shelved.manifest.id, error)
        result.errors.setdefault(shelf.target.name, error)


def _noted(
    old: Manifest, recipients: tuple[str, ...], components: tuple[ComponentRecord, ...], now: datetime
) -> Manifest:
    added, removed = _changes(old, recipients)
    said = f"rekeyed {now.isoformat(timespec='seconds')}: {len(added)} recipients added, {len(removed)} removed"
    update = {"recipients": recipients, "components": components, "notes": (*old.notes, said)}
    return old.model_copy(update=update)


def _changes(old: Manifest, recipients: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    before, after = set(old.recipients), set(recipients)
    return tuple(sorted(after - before)), tuple(sorted(before - after))

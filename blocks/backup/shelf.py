"""The backups of one stack on one target."""

from __future__ import annotations

import getpass
import logging
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from blocks.backup.signing import Keyring, Signer
from blocks.targets.base import Entry, Target
from compose.stack.backup.ids import is_id
from compose.stack.backup.jsontext import dumps
from compose.stack.backup.layout import (
    RECORD,
    backup_prefix,
    backups_prefix,
    checked_stack_id,
    public_key_key,
    record_name,
    records_prefix,
)
from compose.stack.backup.manifest import MANIFEST, SIGNATURE, Manifest
from compose.stack.backup.reading import LARGEST, parse_manifest
from compose.stack.backup.records import LARGEST as LARGEST_RECORD
from compose.stack.backup.records import Fact, Facts, Record, facts_of, parse_record
from compose.stack.errors import Failed, OpsError, Refused

log = logging.getLogger("ops.backup")
NEW_SIGNATURE = f"{SIGNATURE}.new"
"""Signature of a manifest that is just being replaced; whichever of the two holds counts."""
SIGNATURE_BYTES = 64
EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Shelved:
    """One backup as it lies on a target.

    Args:
        data: The manifest's bytes, which the signature is of.
    """

    manifest: Manifest
    signer: Signer
    data: bytes
    signature: bytes


@dataclass(frozen=True)
class Survey:
    """All that lies under a stack's backups, from one listing.

    Args:
        backups: Entries by id, of those that have a manifest; `leftovers`: of those that have none.
        strangers: Names that lie there and are no backup's: nobody touches them.
    """

    backups: dict[str, tuple[Entry, ...]]
    leftovers: dict[str, tuple[Entry, ...]]
    strangers: tuple[str, ...] = ()

    def bytes(self, backup: str) -> int:
        """What one backup takes, without the pool."""
        return sum(entry.size for entry in self.backups.get(backup, ()))


@dataclass(frozen=True)
class Shelf:
    """One stack's backups on one target.

    Args:
        keyring: The keys that we believe.
    """

    target: Target
    stack_id: str
    keyring: Keyring

    def __post_init__(self) -> None:
        checked_stack_id(self.stack_id)

    def survey(self) -> Survey:
        """Look at everything once."""
        prefix = backups_prefix(self.stack_id)
        found: dict[str, list[Entry]] = {}
        strangers: dict[str, None] = {}
        for entry in self.target.list(prefix):
            name, _, rest = entry.key[len(prefix) :].partition("/")
            if rest and is_id(name):
                found.setdefault(name, []).append(entry)
            else:
                strangers[name] = None
        whole = {name for name in found if any(e.key == f"{prefix}{name}/{MANIFEST}" for e in found[name])}
        return Survey(
            {name: tuple(entries) for name, entries in found.items() if name in whole},
            {name: tuple(entries) for name, entries in found.items() if name not in whole},
            tuple(strangers),
        )

    def ids(self) -> list[str]:
        """Ids of the backups that are complete, oldest first."""
        return sorted(self.survey().backups)

    def manifest(self, backup: str, *, trust: bool = False) -> Shelved:
        """Read one backup's manifest: its signature first.

        Args:
            trust: Accept one that a key signed which this home does not know.

        Raises:
            Failed: There is no such backup.
            Refused: The signature does not hold or is nobody's that is trusted, or it is no manifest of this.
        """
        prefix, where = backup_prefix(self.stack_id, backup), f"{self.target.name}: {backup}"
        data = self._small(prefix + MANIFEST, LARGEST)
        if data is None:
            raise Failed("there is no such backup", where=where, next="./ops backups")
        signer, signature = self._signed(prefix, data, trust, where)
        manifest = parse_manifest(data)
        if (manifest.id, manifest.stack_id) != (backup, self.stack_id):
            said = f"it is the manifest of {manifest.stack_id} {manifest.id}"
            raise Refused(said, where=where, next="do not use it")
        return Shelved(manifest, signer, data, signature)

    def holds(self, shelved: Shelved) -> bool:
        """Whether a backup's manifest is still the one that was read."""
        prefix = backup_prefix(self.stack_id, shelved.manifest.id)
        return self._small(prefix + MANIFEST, LARGEST) == shelved.data

    def manifests(
        self, survey: Survey | None = None, *, trust: bool = False
    ) -> tuple[dict[str, Shelved], dict[str, OpsError]]:
        """All manifests by id, and why some cannot be read.

        Args:
            survey: What lies there, where somebody has looked already.
        """
        found: dict[str, Shelved] = {}
        errors: dict[str, OpsError] = {}
        for backup in sorted((survey or self.survey()).backups):
            try:
                found[backup] = self.manifest(backup, trust=trust)
            except OpsError as error:
                errors[backup] = error
        return found, errors

    def records(self, backup: str) -> tuple[list[Record], dict[str, OpsError]]:
        """What was learned about a backup since; and why some of it cannot be believed, by name."""
        errors: dict[str, OpsError] = {}
        return list(self.named_records(backup, errors).values()), errors

    def named_records(self, backup: str, errors: dict[str, OpsError] | None = None) -> dict[str, Record]:
        """The records by their file names; those that cannot be believed are passed over.

        Args:
            errors: Takes why they are passed over, by name.
        """
        prefix = records_prefix(self.stack_id, backup)
        found: dict[str, Record] = {}
        for entry in self.target.list(prefix):
            name = entry.key[len(prefix) :]
            if name.endswith(".sig"):
                continue
            try:
                found[name] = self._record(entry.key, name, backup)
            except OpsError as error:
                if errors is not None:
                    errors[name] = error
        return found

    def facts(self, backup: str) -> Facts:
        """What its records amount to."""
        found, errors = self.records(backup)
        return facts_of(found, errors)

    def append_record(self, backup: str, fact: Fact, *, at: datetime | None = None, by: str = "") -> Record:
        """Add a fact; nothing that is there is changed. It is later than every other, whatever the clock says.

        Args:
            at: When it was found; now where None.
            by: Who found it; this user on this host where empty.
        """
        at = max(at or datetime.now(UTC), self._after_all(backup))
        by = by or f"{getpass.getuser()}@{platform.node()}"
        record = Record(stack_id=self.stack_id, backup=backup, at=at, by=by, fact=fact)
        data = dumps(record.model_dump(mode="json", by_alias=True))
        key = records_prefix(self.stack_id, backup) + record_name(at, os.urandom(4))
        self.target.put(f"{key}.sig", self.keyring.sign(data))
        self.target.put(key, data)
        return record

    def _after_all(self, backup: str) -> datetime:
        """The first moment after all records: a clock that went back does not put new facts before old ones."""
        last = max((one.at for one in self.named_records(backup).values()), default=EARLIEST)
        return last + timedelta(microseconds=1)

    def delete_backup(self, backup: str) -> None:
        """Remove a backup: the manifest first, so that half of one is none.

        Raises:
            Refused: The credentials cannot delete; then nothing was removed.
        """
        prefix = backup_prefix(self.stack_id, backup)
        self.target.delete(prefix + MANIFEST)
        self._remove(entry.key for entry in list(self.target.list(prefix)))

    def sweep_leftovers(self, older_than: datetime, keep: Iterable[str] = ()) -> list[str]:
        """Remove what dead backups and dead removals left; the ids.

        Args:
            older_than: By the target's clock; whatever was touched since then stays.
            keep: Ids that are being written now.
        """
        spared = set(keep)
        swept = []
        for backup, entries in self.survey().leftovers.items():
            if backup not in spared and all(entry.modified < older_than for entry in entries):
                self._remove(entry.key for entry in entries)
                swept.append(backup)
        return swept

    def _remove(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.target.delete(key)

    def _signed(self, prefix: str, data: bytes, trust: bool, where: str) -> tuple[Signer, bytes]:
        """Who signed a manifest; a replacement that was cut short has its signature beside the old one."""
        signatures = [self._small(prefix + name, SIGNATURE_BYTES) for name in (SIGNATURE, NEW_SIGNATURE)]
        there = [signature for signature in signatures if signature is not None]
        if not there:
            raise Refused("is not signed", where=where, next="do not use it; take another copy or backup")
        claimed = (self._small(public_key_key(self.stack_id), LARGEST_RECORD) or b"").decode("ascii", "replace")
        errors = []
        for signature in there:
            try:
                return self.keyring.check(data, signature, claimed=claimed, trust=trust, where=where), signature
            except Refused as error:
                errors.append(error)
        raise errors[0]

    def _record(self, key: str, name: str, backup: str) -> Record:
        where = f"{self.target.name}: {backup}/records/{name[:80]!r}"
        if not RECORD.fullmatch(name):
            raise Refused("is no record", where=where)
        data, signature = self._small(key, LARGEST_RECORD), self._small(f"{key}.sig", SIGNATURE_BYTES)
        if data is None or signature is None:
            raise Refused("is not signed", where=where)
        self.keyring.check(data, signature, where=where)
        return parse_record(data, stack_id=self.stack_id, backup=backup)

    def _small(self, key: str, largest: int) -> bytes | None:
        """An object of limited size; None when it is not there.

        Raises:
            Refused: It is larger.
        """
        size = self.target.size(key)
        if size is None:
            return None
        if size > largest:
            raise Refused(f"has {size} bytes, more than {largest}", where=f"{self.target.name}: {key[-120:]}")
        return b"".join(self.target.read(key))

"""A small stack's backups on targets of the tests' own: made, read, and spoiled on purpose."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyrage

from blocks.backup.identities import Identities, parse_identities
from blocks.backup.identity import Identity, claim, own_identity
from blocks.backup.pool import PoolWriter
from blocks.backup.pool_set import PoolSet
from blocks.backup.shelf import Shelf
from blocks.backup.signing import Keyring
from blocks.backup.source import Source
from blocks.backup.writer import BackupWriter
from blocks.home import Home
from blocks.targets.base import Target
from compose.stack.backup.component import Kind, Manner
from compose.stack.backup.ids import backup_id
from compose.stack.backup.layout import backup_prefix
from compose.stack.backup.listing import Filed
from compose.stack.backup.manifest import ComponentRecord, Manifest, PlaceRecord
from compose.stack.backup.reading import manifest_bytes
from compose.stack.backup.runbook import runbook

GLOBALS = b"CREATE ROLE reader;\n"
DUMP = bytes(range(256)) * 3000
MODELS = {"blobs/large": b"model " * 40_000, "blobs/noise": os.urandom(90_000), "manifests/latest": b'{"a": 1}\n'}


def new_identity() -> Identities:
    """A key of age that nobody keeps."""
    return parse_identities(str(pyrage.x25519.Identity.generate()).encode(), where="test")


@dataclass
class BackupLab:
    """One home with one stack, and a directory with files for the pool."""

    place: Path
    keys: Identities = field(default_factory=new_identity)

    def __post_init__(self) -> None:
        self.home = Home(self.place / "home")
        self.home.make()
        self.keyring = Keyring.of(self.home)
        self.identity: Identity = own_identity(self.home, "light", self.keyring)
        self.index = self.home.stack("light") / "pool-index.sqlite"
        self.models = self.place / "models"
        for name, data in MODELS.items():
            path = self.models / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            os.utime(path, ns=(10**18, 10**18))

    @property
    def recipients(self) -> tuple[str, ...]:
        """Of the lab's key."""
        return self.keys.recipients

    def shelf(self, target: Target) -> Shelf:
        """The stack's backups on a target."""
        return Shelf(target, self.identity.stack_id, self.keyring)

    def prefix(self, backup: str) -> str:
        """What a backup's keys begin with."""
        return backup_prefix(self.identity.stack_id, backup)

    def writer(
        self, targets: Mapping[str, Target], recipients: tuple[str, ...] = (), at: datetime | None = None
    ) -> BackupWriter:
        """Begin a backup."""
        for target in targets.values():
            claim(target, self.identity, self.keyring)
        name = backup_id(at or datetime.now(UTC), os.urandom(4))
        return BackupWriter(targets, self.identity.stack_id, name, recipients)

    def backup(
        self,
        targets: Mapping[str, Target],
        recipients: tuple[str, ...] = (),
        *,
        at: datetime | None = None,
        reread: bool = False,
    ) -> Manifest:
        """Make a whole backup: two files of one component, and a pool of another."""
        writer = self.writer(targets, recipients, at)
        pool = PoolWriter(writer, self.keyring, self.index, reread=reread)
        try:
            manifest = self.manifest(writer, self.files(writer), self.pooled(writer, pool), at)
            writer.finish(manifest, self.keyring, runbook(manifest))
        finally:
            pool.close()
        return manifest

    def files(self, writer: BackupWriter) -> ComponentRecord:
        """The component that has files of its own."""
        sealed = writer.sealed
        with writer.file("postgres/globals.sql", secret=sealed) as roles:
            roles.write(GLOBALS)
        with writer.file("postgres/app.dump", estimate=len(DUMP)) as dump:
            for at in range(0, len(DUMP), 100_000):
                dump.write(memoryview(DUMP)[at : at + 100_000])
        assert roles.record
        assert dump.record
        return self._component("postgres", Kind.POSTGRES).model_copy(update={"files": (roles.record, dump.record)})

    def pooled(self, writer: BackupWriter, pool: PoolWriter) -> ComponentRecord:
        """The component whose files lie in the pool."""
        pooled = PoolSet(pool, writer, "ollama")
        pooled.note(Filed(path="blobs", kind="directory", mode=0o755))
        for path in sorted(path for path in self.models.rglob("*") if path.is_file()):
            pooled.add(Source.of(path), Filed(path=str(path.relative_to(self.models)), mode=0o640, uid=0, gid=0))
        pooled.note(Filed(path="blobs/link", kind="symlink", link="large"))
        return self._component("ollama", Kind.OLLAMA).model_copy(update={"pool": pooled.finish()})

    def manifest(self, writer: BackupWriter, *components: ComponentRecord | datetime | None) -> Manifest:
        """The manifest of a backup."""
        moment = next((one for one in components if isinstance(one, datetime)), datetime.now(UTC))
        return Manifest(
            id=writer.backup, stack="light", stack_id=writer.stack_id, project="t-light", host="here", product="0",
            began=moment, ended=moment, recipients=writer.recipients,
            components=tuple(one for one in components if isinstance(one, ComponentRecord)),
        )  # fmt: skip

    def _component(self, name: str, kind: Kind) -> ComponentRecord:
        place = PlaceRecord(kind="bind", source=f"/srv/restored/{name}", target="/data", service=name)
        now = datetime.now(UTC)
        return ComponentRecord(
            name=name, kind=kind, manner=Manner.ONLINE, services=(name,), places=(place,), began=now, ended=now
        )


def replace_manifest(target: Target, manifest: Manifest, keyring: Keyring, *, signed: bool = True) -> None:
    """Put another manifest into the place of one, signed or with the old signature."""
    prefix, data = backup_prefix(manifest.stack_id, manifest.id), manifest_bytes(manifest)
    target.put(f"{prefix}manifest.json", data)
    if signed:
        target.put(f"{prefix}manifest.json.sig", keyring.sign(data))

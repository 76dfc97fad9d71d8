"""Writes one backup to several targets: files first, the signed manifest last."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from blocks.backup.delivery import Delivery, deliver, put_everywhere
from blocks.backup.signing import Keyring
from blocks.targets.base import Target
from compose.stack.backup.keys import safe_key
from compose.stack.backup.layout import backup_prefix, encodings_of, stored_path
from compose.stack.backup.manifest import MANIFEST, RUNBOOK, SIGNATURE, FileRecord, Manifest
from compose.stack.backup.reading import manifest_bytes, parse_manifest
from compose.stack.errors import Failed, OpsError, Refused

log = logging.getLogger("ops.backup")


@dataclass
class FileSink:
    """One file of the backup while it is written.

    Args:
        record: After the end: what was stored.
    """

    delivery: Delivery
    record: FileRecord | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Take the next plain bytes; the caller may use the buffer again afterwards."""
        self.delivery.write(data)


class BackupWriter:
    """The files of one backup; several components may write at the same time.

    A target that fails while another one goes on is left out from then on: `copy` completes it later. When all
    of them fail at one file, that file fails, and it may be written again.

    Args:
        targets: By name; at least one.
        recipients: Who can open it; empty where nothing is encrypted.
    """

    def __init__(
        self, targets: Mapping[str, Target], stack_id: str, backup: str, recipients: tuple[str, ...] = ()
    ) -> None:
        if not targets:
            raise Refused("there is no target", where="backup", next="./ops backup --to PLACE")
        self.targets, self.recipients = dict(targets), recipients
        self.errors: dict[str, OpsError] = {}
        self.before_manifest: list[Callable[[str, Target], None]] = []
        self._prefix = backup_prefix(stack_id, backup)
        self.stack_id, self.backup = stack_id, backup
        self._written: dict[str, FileRecord | None] = {}
        self._open: set[str] = set()
        self._turn = threading.Lock()

    @property
    def sealed(self) -> bool:
        """Whether what is written is encrypted."""
        return bool(self.recipients)

    @property
    def living(self) -> dict[str, Target]:
        """The targets where everything has arrived so far."""
        return {name: target for name, target in self.targets.items() if name not in self.errors}

    @contextmanager
    def file(
        self, path: str, *, estimate: int = 0, secret: bool = False, compress: bool = True, clear: bool = False
    ) -> Iterator[FileSink]:
        """Write one file; aborted everywhere when the block raises.

        Args:
            path: Plain name below the backup's directory: `postgres/sutazai.dump`; endings are added.
            estimate: Plain bytes, 0 where unknown.
            secret: Must not lie in clear.
            clear: Stays in clear even where the rest is encrypted: only counts and hashes.

        Raises:
            Refused: A secret would lie in clear, or somebody is writing that file.
            Failed: No target took it.
        """
        sealed = self.sealed and not clear
        if secret and not sealed:
            raise Refused(
                "a secret does not lie in clear", where=path, next="./ops backup with recipients, or leave it out"
            )
        encodings = encodings_of(compress=compress, sealed=sealed)
        stored = safe_key(stored_path(path, encodings))
        self._take(stored)
        try:
            with deliver(self.living, self._prefix + stored, encodings, self.recipients, estimate) as delivery:
                sink = FileSink(delivery)
                yield sink
            plain, digest = delivery.digests
        finally:
            with self._turn:
                self._open.discard(stored)
        self.lost(delivery.errors)
        sink.record = FileRecord(path=stored, plain=plain, stored=digest, encodings=encodings, secret=secret)
        with self._turn:
            self._written[stored] = sink.record

    def put_small(self, name: str, data: bytes) -> None:
        """Write something small beside the stores' files, in clear: the RUNBOOK.

        Raises:
            Failed: No target took it.
        """
        with self._turn:
            self._written[safe_key(name)] = None
        errors = put_everywhere(self.living, self._prefix + name, data)
        self.lost(errors)
        self._some_live()

    def finish(self, manifest: Manifest, keyring: Keyring, runbook: str) -> dict[str, OpsError | None]:
        """Check that everything has arrived, then write RUNBOOK, signature, manifest; the state of each target.

        Files that the manifest does not name, of components that failed, are removed before.

        Raises:
            Failed: No target has the backup.
            Refused: The manifest names what was not written, or would not be read again.
        """
        data = manifest_bytes(manifest)
        parse_manifest(data)
        self._check_written(manifest)
        self._forget(set(self._written) - {file.path for file in manifest.files})
        self.check_arrived()
        for name, content in ((RUNBOOK, runbook.encode()), (SIGNATURE, keyring.sign(data)), (MANIFEST, data)):
            self.put_small(name, content)
        return {name: self.errors.get(name) for name in self.targets}

    def check_arrived(self) -> None:
        """See that all files and blobs lie on the living targets; one that lacks any is left out.

        Raises:
            Failed: No target has all of them.
        """
        for name, target in self.living.items():
            try:
                self._sizes_agree(target)
                for check in self.before_manifest:
                    check(name, target)
            except OpsError as error:
                self.lost({name: error})
        self._some_live()

    def abort(self) -> dict[str, OpsError]:
        """Remove everything that was written; what could not be removed, by target. Never raises."""
        return self._forget({MANIFEST, *self._written})

    def _forget(self, names: set[str]) -> dict[str, OpsError]:
        left: dict[str, OpsError] = {}
        for name, target in self.targets.items():
            for key in sorted(names, key=lambda key: (key != MANIFEST, key)):
                try:
                    target.delete(self._prefix + key)
                except OpsError as error:
                    left[name] = error
                    log.warning("%s: %s, which nothing needs, stays there: %s", name, key, error)
                    break
        for name in names:
            self._written.pop(name, None)
        return left

    def _take(self, stored: str) -> None:
        with self._turn:
            if stored in self._open:
                raise Refused("is written twice at the same time", where=stored)
            self._open.add(stored)

    def lost(self, errors: Mapping[str, OpsError]) -> None:
        """Leave targets out from now on."""
        with self._turn:
            for name, error in errors.items():
                if name not in self.errors:
                    log.warning("%s: left out from now on: %s", name, error)
                self.errors.setdefault(name, error)

    def _some_live(self) -> None:
        if not self.living:
            said = "; ".join(f"{name}: {error}" for name, error in self.errors.items())
            raise Failed(f"no target has it: {said}", where=self.backup, next="the same again when one answers")

    def _check_written(self, manifest: Manifest) -> None:
        other = [file.path for file in manifest.files if self._written.get(file.path) != file]
        if other or (manifest.id, manifest.stack_id) != (self.backup, self.stack_id):
            raise Refused(f"the manifest names what was not written: {', '.join(other[:5])}", where=self.backup)

    def _sizes_agree(self, target: Target) -> None:
        there = {entry.key: entry.size for entry in target.list(self._prefix)}
        for path, record in self._written.items():
            found = there.get(self._prefix + path)
            if record is not None and found != record.stored.bytes:
                said = "is not there" if found is None else f"has {found} bytes, not {record.stored.bytes}"
                raise Failed(f"{path} {said} although it was written", where=target.name)

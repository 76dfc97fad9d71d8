"""The stack's configuration: what people wrote, what Compose makes of it, and the secrets apart from both."""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime

from blocks.releases import RECORD
from blocks.stores.content_reads import read_tar
from compose.stack import commands
from compose.stack.backup.configuration import FILES, archive_name
from compose.stack.backup.manifest import FileRecord
from compose.stack.errors import OpsError
from compose.stack.sealing import take_out
from tasks.backup.beside import Beside
from tasks.backup.configuration_files import Collected, collect
from tasks.backup.look import look
from tasks.backup.pouring import pour, stored
from tasks.backup.procedure import Saved, Saving
from tasks.releases import last, store

SOURCES = "configuration/sources.tar"
SECRETS = "configuration/secrets.tar"
NONE: Mapping[str, str] = {}
FLAT, RENDERED, IMAGES, RELEASE, STACK = "flat.yaml", "rendered.yaml", "images.json", "release.json", "stack.json"


class ConfigurationProcedure:
    """Two archives: one that may lie in clear, and one with everything that holds a secret."""

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.found = Collected()
        self.made: dict[str, bytes] = {}
        self.rendered = b""
        self.moment: datetime | None = None

    def open(self) -> None:
        """Read all of it into memory: it is small, and does not change afterwards.

        Raises:
            Failed: Some of it cannot be read, or is too big; by name.
        """
        work = self.saving.work
        self.moment = datetime.now(UTC)
        self.found = collect(work, look(work))
        self.found.whole()
        flat = take_out(work.flattened().text, work.redactor, work.home.keyed_hash)
        self.made = {FLAT: flat.encode(), IMAGES: self._images(), **self._release()}
        self.rendered = work.cli.run(commands.config(work.project)).encode()

    def save(self) -> Saved:
        """Write the archives; without encryption the secrets are left out, by name."""
        clear = {archive_name(path): data for path, data in self.found.clear.items()} | self.made
        secret = {archive_name(path): data for path, data in self.found.secret.items()} | {RENDERED: self.rendered}
        files = [self._archive(SOURCES, clear, self._links({*clear, *secret}))]
        sealed = self.saving.files.sealed
        if sealed:
            files.append(self._archive(SECRETS, secret))
        return Saved(
            tool="tar",
            tool_version="pax",
            files=tuple(files),
            fingerprint={
                "sources": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(clear.items())},
                "secret_files": len(secret),
            },
            moment=self.moment,
            checked="content" if self.saving.verify == "content" else "none",
            left_out=() if sealed else tuple(sorted(self._plain_names(secret))),
        )

    def close(self) -> None:
        """Forget it."""
        self.found, self.made, self.rendered = Collected(), {}, b""

    def _plain_names(self, secret: Mapping[str, bytes]) -> list[str]:
        return ["/" + name.removeprefix("files/") if name.startswith("files/") else name for name in secret]

    def _links(self, files: set[str]) -> dict[str, str]:
        """Links by their names in the archive, without those that were followed to a file or on the way to one."""
        found = {archive_name(path): leads for path, leads in self.found.links.items()}
        followed = files | {above for name in files for above in _directories(name)}
        return {name: leads for name, leads in found.items() if name not in followed}

    def _archive(self, path: str, members: Mapping[str, bytes], links: Mapping[str, str] = NONE) -> FileRecord:
        size = sum(map(len, members.values()))
        check = Beside(read_tar, path) if self.saving.verify == "content" else None
        with self.saving.files.file(path, estimate=size, secret=path == SECRETS) as sink:
            pour(self.saving, self._packed(members, links), sink, check)
            if check is not None:
                check.finish()
        return stored(sink, path)

    def _packed(self, members: Mapping[str, bytes], links: Mapping[str, str]) -> Iterator[bytes]:
        """An archive, piece by piece."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for directory in sorted({above for name in (*members, *links) for above in _directories(name)}):
                archive.addfile(self._entry(directory, tarfile.DIRTYPE, 0o700))
            for name, leads in sorted(links.items()):
                entry = self._entry(name, tarfile.SYMTYPE, 0o777)
                entry.linkname = leads
                archive.addfile(entry)
            for name, data in sorted(members.items()):
                entry = self._entry(name, tarfile.REGTYPE, 0o600)
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
                yield _taken(out)
        yield _taken(out)

    def _entry(self, name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
        """A member with the rights that the file has on this host; what we made is its owner's alone."""
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = kind, mode
        there = self.found.rights.get(name.removeprefix(FILES)) if name.startswith(f"{FILES}/") else None
        if there is not None:
            entry.mode, entry.uid, entry.gid = stat.S_IMODE(there.st_mode), there.st_uid, there.st_gid
            entry.mtime = int(there.st_mtime)
        return entry

    def _images(self) -> bytes:
        """Which image each service had, by id and digest."""
        images = {}
        for name, service in self.saving.work.stack.services.items():
            raw = self.saving.work.engine.image(service.image) or {}
            digests = sorted(raw.get("RepoDigests") or ())
            images[name] = {"reference": service.image, "id": str(raw.get("Id") or ""), "digests": digests}
        return json.dumps(images, indent=1).encode()

    def _release(self) -> dict[str, bytes]:
        """The record of the newest release, and how the stack is kept; what is not there is left out."""
        work, found = self.saving.work, dict[str, bytes]()
        with suppress(OpsError):
            if latest := last(work):
                found[RELEASE] = (store(work).directory(latest.number) / RECORD).read_bytes()
        kept = work.state / STACK
        return found | ({STACK: kept.read_bytes()} if kept.is_file() else {})


def _directories(name: str) -> Iterator[str]:
    """The directories above a file of the host."""
    above = posixpath.dirname(name)
    while above not in ("", FILES):
        yield above
        above = posixpath.dirname(above)


def _taken(out: io.BytesIO) -> bytes:
    """What was written since the last call."""
    data = out.getvalue()
    out.seek(0)
    out.truncate()
    return data

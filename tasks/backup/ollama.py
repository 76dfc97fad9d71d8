"""Models of an Ollama server, while it runs: each blob once into the pool, proven by its name; manifests last."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blocks.backup.source import Source as PoolSource
from blocks.backup.trees import LocalTree
from blocks.backup.volumes import local_path
from compose.stack.backup.archive_format import Entry
from compose.stack.backup.component import Place
from compose.stack.backup.manifest import FileRecord
from compose.stack.backup.models import BROKEN, Model, blob_path, parse_model
from compose.stack.errors import Failed, OpsError
from compose.stack.preflight.data_paths import covers
from tasks.backup.pooled import Listing
from tasks.backup.procedure import Saved, Saving

BIGGEST_MANIFEST = 4 * 1024 * 1024


class OllamaProcedure:
    """Obeys `tasks.backup.procedure.Procedure`.

    Partial downloads, blobs that no model names and the server's private key are left out.
    """

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.root = Path()
        self.inside = ""
        self.models: dict[str, tuple[Model, Entry, bytes]] = {}
        self.moment: datetime | None = None
        self._written: dict[str, FileRecord] = {}

    def open(self) -> None:
        """See `Procedure`: what the manifests say now is what is saved."""
        self.root, self.inside = self._find()
        self.models = {model.path: (model, entry, text) for model, entry, text in self._manifests()}
        self.moment = datetime.now(UTC)

    def save(self) -> Saved:
        """See `Procedure`."""
        if self.saving.pool is None:
            raise Failed("models go into the pool, and there is none", where=self.saving.component.name)
        listing, notes, gone = Listing(), list[str](), set[str]()
        done = self._put_blobs(listing, gone, notes)
        kept = [one for path, one in self.models.items() if path not in gone]
        for directory in self._directories(kept):
            listing.add(directory)
        for _, entry, text in kept:
            listing.add(entry, self._put_text(entry, text))
        pool = listing.write(self.saving, self._written)
        return Saved(
            tool="ollama", tool_version=self._version(), pool=pool, moment=self.moment,
            fingerprint={"models": {model.name: self._print(model, text) for model, _, text in kept},
                         "blobs": len(done), "path": self.inside},
            checked="content" if self.saving.verify == "content" else "none",
            notes=(*notes, *self._left_out(done)),
        )  # fmt: skip

    def _put_blobs(self, listing: Listing, gone: set[str], notes: list[str]) -> set[str]:
        """Put the blobs of all models; those of which are in the pool then.

        Args:
            gone: Gets the manifests of models that somebody removed meanwhile.
        """
        done: set[str] = set()
        for path, (model, _, _) in self.models.items():
            try:
                for sha256, size in model.blobs:
                    if sha256 not in done:
                        self._put_blob(model, sha256, size, listing)
                        done.add(sha256)
            except OpsError:
                if (self.root / path).exists():
                    raise
                gone.add(path)
                notes.append(f"model {model.name} was removed while it was saved: it is not in this backup")
        return done

    def close(self) -> None:
        """See `Procedure`."""

    def _find(self) -> tuple[Path, str]:
        """The models directory, on this host and inside the container."""
        saving, engine = self.saving, self.saving.work.engine
        container = engine.inspect(saving.component.container)
        given = container.environment if container else {}
        inside = given.get("OLLAMA_MODELS") or f"{given.get('HOME') or '/root'}/.ollama/models"
        inside = posixpath.normpath(inside)
        place = next((one for one in saving.component.places if covers(one.target, inside)), None)
        if place is None:
            raise Failed(f"its models lie in {inside}, on no volume", where=saving.component.name)
        root = local_path(engine, place, saving.component.image)
        if root is None:
            what = "its models cannot be read directly: the engine is elsewhere, or we are not root"
            raise Failed(what, where=saving.component.name, next="back it up on the engine's own host, as root")
        return _below(root, place, inside), inside

    def _manifests(self) -> Iterator[tuple[Model, Entry, bytes]]:
        tree = LocalTree(self.root, only=lambda path: path.split("/")[0] == "manifests")
        for entry, content in tree.walk() if self.root.is_dir() else ():
            if entry.path == "manifests" and entry.kind == "symlink":
                what = "its manifests are a link: models behind it would not be saved"
                raise Failed(what, where=str(self.root / entry.path), next="OLLAMA_MODELS names their place")
            if content is None or not entry.path.startswith("manifests/"):
                continue
            if entry.size > BIGGEST_MANIFEST:
                raise Failed("it is no manifest of a model", where=entry.path, next=BROKEN)
            text = b"".join(content())
            yield parse_model(entry.path, text), entry, text

    def _put_blob(self, model: Model, sha256: str, size: int, listing: Listing) -> None:
        path = blob_path(sha256)
        try:
            found = os.lstat(self.root / path)
        except FileNotFoundError:
            raise Failed(f"its blob {sha256[:12]} is missing", where=f"model {model.name}", next=BROKEN) from None
        if found.st_size != size:
            what = f"its blob {sha256[:12]} has {found.st_size} bytes instead of {size}"
            raise Failed(what, where=f"model {model.name}", next=BROKEN)
        try:
            source = PoolSource.of(self.root / path, f"{self.saving.component.name}:{path}", sha256)
        except OSError as error:
            raise Failed(f"its blob {sha256[:12]}: {error.strerror}", where=f"model {model.name}") from None
        listing.add(_entry(path, found), self._put_whole(model, source, sha256))
        self.saving.progress(size)

    def _put_whole(self, model: Model, source: PoolSource, sha256: str) -> Any:
        try:
            return self.saving.pool.put(source)
        except OpsError:
            if source.hashed() == sha256:
                raise
            said = f"its blob {sha256[:12]} is damaged on the server's disk"
            raise Failed(said, where=f"model {model.name}", next=BROKEN) from None

    def _put_text(self, entry: Entry, text: bytes) -> Any:
        name = f"{self.saving.component.name}:{entry.path}"
        sha256 = hashlib.sha256(text).hexdigest()
        return self.saving.pool.put(PoolSource(name, len(text), lambda: iter((text,)), sha256))

    def _directories(self, kept: list[tuple[Model, Entry, bytes]]) -> Iterator[Entry]:
        wanted = {"blobs"} if kept else set()
        for model, _, _ in kept:
            parts = model.path.split("/")[:-1]
            wanted |= {"/".join(parts[: n + 1]) for n in range(len(parts))}
        for path in sorted(wanted):
            try:
                found = os.lstat(self.root / path)
            except FileNotFoundError:  # its last model was removed meanwhile
                yield Entry(path, "directory", 0o755)
                continue
            yield Entry(path, "directory", found.st_mode & 0o7777, found.st_uid, found.st_gid, found.st_mtime_ns)

    def _print(self, model: Model, text: bytes) -> dict[str, Any]:
        return {
            "digest": hashlib.sha256(text).hexdigest(),
            "bytes": sum(size for _, size in model.blobs),
            "again_from": model.again,
        }

    def _left_out(self, done: set[str]) -> Iterator[str]:
        names = sorted(path.name for path in (self.root / "blobs").glob("*"))
        partial = [name for name in names if "-partial" in name]
        others = [n for n in names if n not in partial and n.removeprefix("sha256-") not in done]
        if partial:
            yield f"{len(partial)} parts of unfinished downloads were left out"
        if others:
            yield f"{len(others)} blobs that no model names were left out"
        yield "the server's private key (id_ed25519) is left out: it makes a new one"

    def _version(self) -> str:
        code, said = self.saving.work.engine.run_in(self.saving.component.container, ("ollama", "--version"), 10.0)
        return said.split()[-1] if code == 0 and said.split() else ""


def _below(root: Path, place: Place, inside: str) -> Path:
    """The directory itself: a link inside a volume leads somewhere else on this host than in the container."""
    rest = posixpath.relpath(inside, place.target)
    for name in () if rest == "." else rest.split("/"):
        root = root / name
        if root.is_symlink():
            what = "it is a link: the models that it leads to would not be saved"
            raise Failed(what, where=str(root), next="OLLAMA_MODELS names the directory itself")
    return root


def _entry(path: str, found: os.stat_result) -> Entry:
    return Entry(
        path, "file", found.st_mode & 0o7777, found.st_uid, found.st_gid, found.st_mtime_ns, found.st_size
    )

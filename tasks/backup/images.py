"""Images that no registry gives again: each once per id, in the pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from blocks.backup.pool_set import PoolSet
from blocks.backup.source import Source
from blocks.engine import Engine, talking
from compose.stack.backup.listing import Filed
from compose.stack.backup.manifest import FileRecord
from tasks.backup.pouring import pour, stored
from tasks.backup.procedure import Saved, Saving

DIRECTORY = "images"
PORTION = 2 * 1024 * 1024


@dataclass
class Kept:
    """One image.

    Args:
        references: What the stack calls it.
        size: Bytes, as the engine counts them.
    """

    id: str
    size: int
    references: list[str] = field(default_factory=list)
    services: list[str] = field(default_factory=list)

    @property
    def digits(self) -> str:
        """Its id without the name of the hash."""
        return self.id.rpartition(":")[2]


class ImagesProcedure:
    """Finds the images of the stack that were built here, and saves them as `docker save` does."""

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.built: dict[str, Kept] = {}
        self.pulled: dict[str, list[str]] = {}
        self.moment: datetime | None = None

    def open(self) -> None:
        """Look which there are; an image never changes."""
        self.moment = datetime.now(UTC)
        work = self.saving.work
        for name, reference in self._wanted():
            raw = work.engine.image(reference)
            if raw is None:
                continue
            digests = sorted(raw.get("RepoDigests") or ())
            if digests:
                self.pulled[reference] = digests
                continue
            kept = self.built.setdefault(str(raw["Id"]), Kept(str(raw["Id"]), int(raw.get("Size") or 0)))
            if not reference.startswith("sha256:"):
                _note(kept.references, reference)
            _note(kept.services, name)

    def save(self) -> Saved:
        """Put them into the pool; what is there already is not read again.

        Raises:
            Failed: The engine broke off.
        """
        files, pooled = [], None
        if self.saving.pool is None:
            files = [self._file(kept) for kept in self.built.values()]
        elif self.built:
            pool = PoolSet(self.saving.pool, self.saving.files, DIRECTORY)
            for kept in self.built.values():
                pool.add(self._source(kept), Filed(path=f"{kept.digits}.tar"), compress=True)
                self.saving.progress(kept.size)
            pooled = pool.finish()
        return Saved(
            tool="docker save",
            tool_version=str(self.saving.work.engine.client.version().get("Version") or ""),
            files=tuple(files),
            pool=pooled,
            fingerprint={
                "images": {one.id: _described(one) for one in self.built.values()},
                "pulled": self.pulled,
            },
            moment=self.moment,
            checked=self.saving.verify,  # its blobs are proven by their hashes, as those of any pool
        )

    def close(self) -> None:
        """Nothing was made."""

    def _wanted(self) -> list[tuple[str, str]]:
        """Every service with its image: of its containers, and of the file."""
        work = self.saving.work
        pairs = [(name, service.image) for name, service in work.stack.services.items()]
        running = [(c.service, c.image_id) for c in work.engine.observe(work.name).containers if c.image_id]
        return list(dict.fromkeys([*pairs, *running]))

    def _source(self, kept: Kept) -> Source:
        engine = self.saving.work.engine
        return Source(
            name=f"image:{kept.id}", size=kept.size, open=lambda: saved_image(engine, kept), address=kept.digits
        )

    def _file(self, kept: Kept) -> FileRecord:
        path = f"{DIRECTORY}/{kept.digits}.tar"
        with self.saving.files.file(path, estimate=kept.size) as sink:
            pour(self.saving, saved_image(self.saving.work.engine, kept), sink)
        return stored(sink, path)


def saved_image(engine: Engine, kept: Kept) -> Iterator[bytes]:
    """An image with its names as `docker load` takes it."""
    tags = [name for name in kept.references if "@" not in name]
    with talking():
        image: Any = engine.client.images.get(kept.id)
        named = tags[0] if tags and engine.images(tags[:1])[tags[0]] == kept.id else False
        yield from image.save(chunk_size=PORTION, named=named)


def _described(kept: Kept) -> Mapping[str, Any]:
    return {
        "file": f"{kept.digits}.tar", "references": kept.references, "services": kept.services, "bytes": kept.size,
    }  # fmt: skip


def _note(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)

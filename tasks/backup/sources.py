"""Where a component's data is, and getting at it: directly on this host, or through the engine."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from blocks.backup.spool import copy_tree, keep_stream, require_room
from blocks.backup.trees import PIECE, Below, LocalTree, Measure, Nothing, Tree, number_of
from blocks.backup.volumes import Gone, TarTree, layer_stream, local_path, volume_stream
from blocks.engine import Engine
from compose.stack.backup.component import Component, Place
from compose.stack.errors import Failed


@dataclass(frozen=True)
class Source:
    """One place of a component.

    Args:
        path: On this host, where that is the same directory for sure.
        number: Of that directory, as it was found.
        image: Of which a container is made to read it where it is not.
        below: Where it lies in the archive; empty for the archive's own root.
    """

    engine: Engine
    place: Place
    path: Path | None
    number: tuple[int, int] | None = None
    image: str = ""
    below: str = ""

    @property
    def name(self) -> str:
        """What a file is called that is all of it, wherever a link to it leads."""
        return posixpath.basename(self.place.source if self.place.kind == "bind" else self.place.target)

    def measure(self) -> Measure | None:
        """What it holds; None where that cannot be told without reading it."""
        return LocalTree(self.path).measure() if self.path else None

    def require_same(self) -> None:
        """See that the directory is still the one that was found: a stop unmounts what was mounted for it.

        Raises:
            Failed: Another one lies there now.
        """
        if self.path and self.number and number_of(self.path) != self.number:
            what = "another directory lies there since its services were stopped: what they used was unmounted"
            raise Failed(what, where=str(self.path), next="findmnt, then x-ops.backup.live or a plain volume")

    @contextmanager
    def live(self) -> Iterator[Tree]:
        """Read it where it lies."""
        if self.path:
            yield _below(self.path, self.below, self.name)
            return
        with ExitStack() as opened:
            try:
                chunks = opened.enter_context(self._stream())
            except Gone:
                yield Nothing()
                return
            yield TarTree(chunks, self.below, self.name)

    def copied(self, to: Path, check: Callable[[], None]) -> Copied:
        """Copy it to the spool, while nobody writes it."""
        if self.path:
            self.require_same()
            tree = copy_tree(self.path, to, check)
            return Copied(tree.root, below=self.below, name=self.name)
        with suppress(Gone), self._stream() as chunks:
            return Copied(None, keep_stream(chunks, to.with_suffix(".stream"), check), self.below, self.name)
        return Copied(None)

    @contextmanager
    def _stream(self) -> Iterator[Iterator[bytes]]:
        if self.place.kind == "layer":
            with layer_stream(self.engine, self.place.source, self.place.target) as chunks:
                yield chunks
        else:
            with volume_stream(self.engine, self.place, self.image) as chunks:
                yield chunks


@dataclass(frozen=True)
class Copied:
    """A place's copy in the spool.

    Args:
        root: A directory, or a single file; None when the engine's stream was kept as it came.
        stream: That stream; None where neither is there, because a layer's path went with the stop.
    """

    root: Path | None
    stream: Path | None = None
    below: str = ""
    name: str = ""

    @contextmanager
    def tree(self) -> Iterator[Tree]:
        """Read it."""
        if self.root:
            yield _below(self.root, self.below, self.name)
            return
        if self.stream is None:
            yield Nothing()
            return
        with self.stream.open("rb") as file:
            yield TarTree(iter(lambda: file.read(PIECE), b""), self.below, self.name)


def sources_of(engine: Engine, component: Component) -> tuple[Source, ...]:
    """Each place of a component once, however many mount it."""
    places: dict[tuple[str, str, str], Place] = {}
    for place in component.places:
        layer = place.target if place.kind == "layer" else ""
        places.setdefault((place.kind, place.source, layer), place)
    return tuple(_source(engine, place, component.image) for place in places.values())


def _below(root: Path, below: str, name: str) -> Tree:
    tree = LocalTree(root, name=name)
    return Below(tree, below) if below else tree


def _source(engine: Engine, place: Place, image: str) -> Source:
    path = local_path(engine, place, image)
    below = place.target.strip("/") if place.kind == "layer" else ""
    return Source(engine, place, path, number_of(path) if path else None, image, below)


def require_spool(sources: tuple[Source, ...], spool: Path, name: str) -> int:
    """See that the copies fit; their bytes, as far as they are known.

    Raises:
        Refused: They do not.
    """
    measures = [source.measure() for source in sources]
    need = sum(one.allocated for one in measures if one)
    require_room(spool, need, name)
    return need

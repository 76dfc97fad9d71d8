"""Directories as archives: what stands still is copied and archived from the copy, all else where it lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from blocks.backup.archive import archive
from blocks.backup.spool import remove_tree
from blocks.backup.trees import PIECE
from compose.stack.backup.archive_format import Totals
from compose.stack.backup.component import Manner
from compose.stack.backup.manifest import FileRecord
from tasks.backup.beside import laid_together
from tasks.backup.content import content_check
from tasks.backup.looks import Look, nothing_more
from tasks.backup.pouring import pour, reached, stored
from tasks.backup.procedure import Saved, Saving
from tasks.backup.sources import Copied, Source, require_spool, sources_of

Find = Callable[[], tuple[Source, ...]]


class ArchiveProcedure:
    """Obeys `tasks.backup.procedure.Procedure`.

    One archive for each place; all paths of a layer share one.

    Args:
        look: Looks into the copies, for stores whose files tell what they hold.
        find: Finds what is archived; the component's places by default.
        stem: What the archives are called.
    """

    def __init__(
        self, saving: Saving, look: Look = nothing_more, find: Find | None = None, stem: str = "data"
    ) -> None:
        self.saving, self.look, self.stem = saving, look, stem
        self.find = find or (lambda: sources_of(saving.work.engine, saving.component))
        self.live = saving.component.manner is Manner.LIVE
        self.sources: tuple[Source, ...] = ()
        self.copies: list[Copied] = []
        self.moment: datetime | None = None
        self.downtime: float | None = None
        self._written: dict[str, FileRecord] = {}
        self._totals: dict[str, Totals] = {}
        self._found: dict[str, Any] = {}

    def open(self) -> None:
        """See `Procedure`."""
        saving, component = self.saving, self.saving.component
        self.sources = self.find()
        if self.live:
            self.moment = datetime.now(UTC)
            return
        require_spool(self.sources, saving.spool, component.name)
        with saving.stopping.stopped(component.services, f"{component.name} is copied") as downtime:
            self.moment = downtime.stopped_at or datetime.now(UTC)
            for number, source in enumerate(self.sources):
                self.copies.append(source.copied(saving.spool / f"copy-{number}", downtime.check))
        self.downtime = downtime.seconds

    def save(self) -> Saved:
        """See `Procedure`; again after a failure it goes on with what is not yet written."""
        saving, groups = self.saving, self._groups()
        for number, group in enumerate(groups, 1):
            self._archive(self.stem if number == 1 else f"{self.stem}-{number}", group)
        roots = [copy.root for copy in self.copies if copy.root]
        more, notes = self.look(roots) if roots and len(roots) == len(self.sources) else ({}, ())
        totals = list(self._totals.values())
        found = dict(self._found)
        checked, unproven = reached(saving, found)
        return Saved(
            tool="tar",
            tool_version="pax",
            files=tuple(self._written.values()),
            fingerprint={**together(totals), **more, **found},
            moment=self.moment,
            downtime=self.downtime,
            checked=checked,
            notes=(*(note for one in totals for note in one.notes()), *self._gone(), *notes, *unproven),
        )

    def close(self) -> None:
        """See `Procedure`."""
        for copy in self.copies:
            if copy.root:
                remove_tree(copy.root if copy.root.is_dir() else copy.root.parent)
            if copy.stream:
                copy.stream.unlink(missing_ok=True)
        self.copies.clear()
        for path in self.saving.spool.glob("*.index.jsonl"):
            path.unlink(missing_ok=True)

    def _gone(self) -> Iterator[str]:
        """What went with the stop."""
        pairs = zip(self.sources, self.copies, strict=False)
        gone = [source.place.target for source, copy in pairs if not copy.root and not copy.stream]
        if gone:
            yield f"{len(gone)} paths went when their program ended, as its sockets do: {', '.join(gone[:3])}"

    def _groups(self) -> list[list[Source | Copied]]:
        every: list[Source | Copied] = [*self.copies] if self.copies else [*self.sources]
        if self.sources and all(source.place.kind == "layer" for source in self.sources):
            return [every]
        return [[one] for one in every]

    def _archive(self, name: str, group: list[Source | Copied]) -> None:
        """Write one archive and its index; what an earlier try has written stays."""
        saving, where = self.saving, self.saving.component.name
        tar, index, lines = (
            f"{where}/{name}.tar",
            f"{where}/{name}.index.jsonl",
            saving.spool / f"{name}.index.jsonl",
        )
        if tar not in self._written:
            self._totals[name] = Totals()
            check = self._check(tar)
            with (
                lines.open("wb") as told,
                saving.files.file(tar, estimate=self._estimate()) as sink,
                ExitStack() as opened,
            ):
                trees = (
                    opened.enter_context(one.tree() if isinstance(one, Copied) else one.live()) for one in group
                )
                pour(saving, archive(trees, told, self._totals[name], live=self.live), sink, check)
                self._found = laid_together(self._found, check.finish() if check else {})
            self._written[tar] = stored(sink, tar)
        if index not in self._written:
            with lines.open("rb") as file, saving.files.file(index, estimate=lines.stat().st_size) as sink:
                while piece := file.read(PIECE):
                    sink.write(piece)
            self._written[index] = stored(sink, index)

    def _check(self, path: str) -> Any:
        component = self.saving.component
        if self.saving.verify != "content":
            return None
        engine = self.saving.work.engine
        return content_check(
            component.kind, path, None, engine, component.image, spool=self.saving.spool, size=self._estimate()
        )

    def _estimate(self) -> int:
        measures = [source.measure() for source in self.sources]
        return sum(one.bytes for one in measures if one)


def together(totals: list[Totals]) -> dict[str, Any]:
    """The fingerprint of one tree, or of several."""
    prints = [one.fingerprint() for one in totals]
    if len(prints) == 1:
        return prints[0]
    sums = {key: sum(one[key] for one in prints) for key in ("files", "bytes", "directories", "links")}
    return {**sums, "trees": [one["tree_sha256"] for one in prints]}

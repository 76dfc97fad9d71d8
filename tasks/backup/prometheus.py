"""Prometheus: a snapshot by its administrative interface, archived and removed."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from blocks.backup.snapshot_notes import SnapshotNotes
from blocks.stores.content_reads import read_tar
from blocks.stores.prometheus import Prometheus, prometheus
from compose.stack.errors import OpsError
from tasks.backup.beside import Beside
from tasks.backup.content import content_check
from tasks.backup.pouring import pour, reached, stored
from tasks.backup.procedure import Check, Saved, Saving
from tasks.backup.rest import save_rest

log = logging.getLogger("ops.backup")
PATH = "prometheus/snapshot.tar"


class PrometheusProcedure:
    """For servers that run with --web.enable-admin-api; the others are stopped and archived."""

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.server: Prometheus | None = None
        self.notes = SnapshotNotes(saving.work.state)
        self.name = ""
        self.series = 0
        self.moment: datetime | None = None

    def open(self) -> None:
        """Make the snapshot.

        Raises:
            Failed: The server refused.
        """
        component = self.saving.component
        self.server = prometheus(self.saving.work.engine, component.container, component.options)
        self.series = self.server.series()
        self.moment = datetime.now(UTC)
        self.name = self.server.snapshot()
        self.notes.write(component.name, [(self.name,)])

    def save(self) -> Saved:
        """Archive it.

        Raises:
            Failed: The archive breaks off, or promtool does not understand it.
        """
        assert self.server is not None
        component, engine = self.saving.component, self.saving.work.engine
        check: Check = Beside(read_tar, PATH)
        if self.saving.verify == "content":
            image = self.server.store.asked.container.image_id
            check = content_check(component.kind, PATH, None, engine, image) or check
        with self.saving.files.file(PATH) as sink:
            with self.server.fetch(self.name) as chunks:
                pour(self.saving, chunks, sink, check)
            found = check.finish()
        checked, unproven = reached(self.saving, found)
        rest = save_rest(self.saving, (self.server.place(self.name),))
        return Saved(
            tool="prometheus snapshot",
            tool_version=self.server.version(),
            files=(stored(sink, PATH), *rest.files),
            fingerprint={**found, "series_in_head_before": self.series, **rest.fingerprint},
            moment=self.moment,
            checked=checked,
            left_out=rest.left_out,
            notes=(*unproven, *rest.notes),
        )

    def close(self) -> None:
        """Remove the snapshot; one that cannot be removed stays noted, and the next backup does it."""
        if self.server is None or not self.name:
            return
        try:
            self.server.delete(self.name)
            self.name = ""
            self.notes.write(self.saving.component.name, ())
        except OpsError as error:
            log.warning("%s", error)

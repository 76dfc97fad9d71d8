"""Neo4j: stopped, dumped by its own tool in a container beside it, started, and only then written away."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blocks.backup.spool import remove_tree
from blocks.backup.trees import PIECE
from blocks.engine import talking
from blocks.facts import is_local
from blocks.one_off import beside, open_directory, run
from compose.stack.backup.manifest import FileRecord
from compose.stack.backup.tools import neo4j_dump
from compose.stack.errors import Failed
from tasks.backup.beside import laid_together
from tasks.backup.content import content_check
from tasks.backup.pouring import pour, reached, stored
from tasks.backup.procedure import Downtime, Saved, Saving
from tasks.backup.sources import require_spool, sources_of

INSIDE = "/backups"
UNCLEAN = "active logical log detected"
NO_PATTERN = ("no matching database", "database does not exist", "invalid value", "unmatched argument")


class Neo4jProcedure:
    """Obeys `tasks.backup.procedure.Procedure`."""

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.raw: dict[str, Any] = {}
        self.dumps = saving.spool / "dumps"
        self.moment: datetime | None = None
        self.downtime: float | None = None
        self._written: dict[str, FileRecord] = {}
        self._found: dict[str, Any] = {}

    def open(self) -> None:
        """See `Procedure`."""
        saving, component, engine = self.saving, self.saving.component, self.saving.work.engine
        if not is_local(engine):
            raise Failed("its dump needs a directory of the engine's own host", where=component.name)
        with talking():
            self.raw = dict(engine.client.api.inspect_container(component.container))
        sources = sources_of(engine, component)
        require_spool(sources, saving.spool, component.name)
        open_directory(self.dumps)
        total = 0.0
        for last in (False, True):
            with saving.stopping.stopped(component.services, f"{component.name} is dumped") as downtime:
                self.moment = downtime.stopped_at or datetime.now(UTC)
                said = self._dump(("*",), downtime)
                if any(sign in said.lower() for sign in NO_PATTERN):
                    said = self._dump(self._databases(sources[0].path), downtime)
            total += downtime.seconds or 0.0
            if not said:
                break
            if UNCLEAN not in said.lower() or last:
                raise Failed(f"neo4j-admin could not dump it: {_last(said)}", where=component.name)
            saving.work.say(component.name, "was not ended cleanly: started, and stopped once more")
        self.downtime = round(total, 3)
        if not any(self.dumps.glob("*.dump")):
            raise Failed("neo4j-admin wrote no dump", where=component.name)

    def save(self) -> Saved:
        """See `Procedure`."""
        databases = {}
        for file in sorted(self.dumps.glob("*.dump")):
            databases[file.stem] = {"bytes": file.stat().st_size}
            self._write(file)
        version = next((e.partition("=")[2] for e in self._environment() if e.startswith("NEO4J_VERSION=")), "")
        found = dict(self._found)
        checked, unproven = reached(self.saving, found)
        return Saved(
            tool="neo4j-admin database dump", tool_version=version or self._label(),
            files=tuple(self._written.values()), fingerprint={"databases": databases, **found},
            moment=self.moment, downtime=self.downtime,
            checked=checked, notes=unproven,
        )  # fmt: skip

    def close(self) -> None:
        """See `Procedure`."""
        remove_tree(self.dumps)

    def _dump(self, databases: Sequence[str], downtime: Downtime) -> str:
        """Dump these databases; empty, or what the tool said when it failed."""
        engine = self.saving.work.engine
        for database in databases:
            argv = neo4j_dump(database, INSIDE)
            wanted = beside(self.raw, argv, {INSIDE: str(self.dumps)}, without=("NEO4J_AUTH",))
            code, said = run(engine, wanted, downtime.check, lambda one: downtime.at_limit.append(one.kill))
            if code:
                return said or f"exit code {code}"
        return ""

    def _databases(self, data: Path | None) -> tuple[str, ...]:
        """By the directories of its store, where a pattern is not understood."""
        found = sorted(p.name for p in (data / "databases").iterdir() if p.is_dir()) if data else []
        if not found:
            raise Failed("its databases cannot be told", where=self.saving.component.name)
        return tuple(found)

    def _write(self, file: Path) -> None:
        saving, component = self.saving, self.saving.component
        path = f"{component.name}/{file.name}"
        if path in self._written:
            return
        check = None
        if saving.verify == "content":
            image = str(self.raw["Image"])
            size = file.stat().st_size
            check = content_check(component.kind, path, None, saving.work.engine, image, size=size)
        with file.open("rb") as source, saving.files.file(path, estimate=file.stat().st_size) as sink:
            pour(saving, iter(lambda: source.read(PIECE), b""), sink, check)
            self._found = laid_together(self._found, check.finish() if check else {})
        self._written[path] = stored(sink, path)

    def _environment(self) -> list[str]:
        return list((self.raw.get("Config") or {}).get("Env") or ())

    def _label(self) -> str:
        labels = (self.raw.get("Config") or {}).get("Labels") or {}
        return str(labels.get("org.opencontainers.image.version") or "")


def _last(said: str) -> str:
    return " | ".join(line.strip() for line in said.splitlines()[-4:] if line.strip())

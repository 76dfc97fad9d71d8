"""Redis: its own RDB, written now, and what the file itself says that it holds."""

from __future__ import annotations

import posixpath
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from blocks.backup.source import read_path
from blocks.backup.spool import keep_stream, require_room
from blocks.stores.content_reads import read_rdb
from blocks.stores.one_file import file_size, read_file
from blocks.stores.redis_server import RedisServer, redis_server
from compose.stack.backup.component import Place
from tasks.backup.beside import Beside
from tasks.backup.content import content_check
from tasks.backup.data_place import places_with
from tasks.backup.pouring import pour, reached, stored
from tasks.backup.procedure import Check, Saved, Saving
from tasks.backup.rest import save_rest

PATH = "redis/dump.rdb"


class RedisProcedure:
    """A background save, then a copy of the file; the fingerprint is read from its bytes on their way."""

    def __init__(self, saving: Saving) -> None:
        self.saving = saving
        self.server: RedisServer | None = None
        self.moment: datetime | None = None
        self.path = ""
        self.places: tuple[Place, ...] = ()
        self.copy = saving.spool / "dump.rdb"

    def open(self) -> None:
        """Have the server write its RDB, and take it: the server's own save points replace it any time.

        Raises:
            Failed: Nobody gets in, CONFIG is forbidden, or the save failed.
            Refused: The spool has no room for it.
        """
        component = self.saving.component
        self.server = redis_server(self.saving.work.engine, component.container, component.options)
        where = self.server.setting("dir")
        self.places = places_with(self.saving, self.server.asked.mounts, where)
        path = self.path = posixpath.join(where, self.server.setting("dbfilename"))
        self.moment = datetime.now(UTC)
        self.server.save()
        engine = self.saving.work.engine
        require_room(self.saving.spool, file_size(engine, self.server.asked.id, path), component.name)
        keep_stream(read_file(engine, self.server.asked.id, path), self.copy)

    def save(self) -> Saved:
        """Write the RDB away.

        Raises:
            Failed: It is damaged or cut short.
        """
        assert self.server is not None
        server, engine = self.server, self.saving.work.engine
        checks: Check = Beside(read_rdb, PATH)
        if self.saving.verify == "content":
            image = server.asked.container.image_id
            own = content_check(self.saving.component.kind, PATH, None, engine, image)
            checks = own or checks
        with self.saving.files.file(PATH, estimate=self.copy.stat().st_size) as sink:
            pour(self.saving, read_path(self.copy), sink, checks)
            found = checks.finish()
        checked, unproven = reached(self.saving, found)
        rest = save_rest(self.saving)
        return Saved(
            tool="redis BGSAVE",
            tool_version=str(found.get("redis_version", "")),
            files=(stored(sink, PATH), *rest.files),
            fingerprint={**_described(found), "path": self.path, **rest.fingerprint},
            places=self.places,
            moment=self.moment,
            checked=checked,
            left_out=rest.left_out,
            notes=(*_notes(server), *unproven, *rest.notes),
        )

    def close(self) -> None:
        """Let the connection go, and the copy."""
        self.copy.unlink(missing_ok=True)
        if self.server is not None:
            with suppress(Exception):
                self.server.close()


def _described(found: dict[str, Any]) -> dict[str, Any]:
    """Counts of the file; keys that expire are an upper bound, they may be gone when it is loaded."""
    databases = found.get("databases", {})
    return {
        **found,
        "keys": sum(one["keys"] for one in databases.values()),
        "expiring": sum(one["expires"] for one in databases.values()),
    }


def _notes(server: RedisServer) -> tuple[str, ...]:
    persistence, replication = server.info("persistence"), server.info("replication")
    aof = "on" if persistence.get("aof_enabled") == "1" else "off"
    notes = [f"append-only file: {aof}", f"role: {replication.get('role', 'unknown')}"]
    if replication.get("role") == "slave" and replication.get("master_link_status") != "up":
        notes.append("it is a replica without a link to its master: what it holds may be old")
    return tuple(notes)

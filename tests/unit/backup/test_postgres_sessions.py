"""Sessions with PostgreSQL: one database at a time, or all at one moment where the server has room for them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from compose.stack.backup import postgres_sql as sql
from compose.stack.backup.component import Component, Kind, Manner
from compose.stack.errors import Refused
from tasks.backup import postgres
from tasks.backup.procedure import Saving
from tasks.backup.rest import Rest
from tests.fakes.backup_files import MemoryFiles

DATABASES = [(f"d{number}", "true", "9") for number in range(200)]
ANSWERS = {
    sql.PLACES: [("/pg", "log", "off")],
    sql.DATABASES: [*DATABASES, ("template", "false", "1")],
    sql.CONNECTIONS: [("100", "7")],
}


class Server:
    """Counts the sessions that are held at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.asked = SimpleNamespace(mounts=())

    def hold(self, access: Any, name: str, size: int) -> postgres.Held:
        """Hold one more."""
        self.now += 1
        self.most = max(self.most, self.now)
        session: Any = SimpleNamespace(close=self.let_go)
        return postgres.Held(name, size, session, "snapshot", {})

    def let_go(self) -> None:
        """One less."""
        self.now -= 1


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """A server of 200 databases with 100 sessions."""
    made = Server()
    first = SimpleNamespace(rows=lambda query, columns=1: ANSWERS[query], close=lambda: None)
    monkeypatch.setattr(postgres, "access_of", lambda *_: made)
    monkeypatch.setattr(postgres, "first_session", lambda _: first)
    monkeypatch.setattr(postgres, "_hold", made.hold)
    monkeypatch.setattr(postgres, "save_rest", lambda _: Rest())
    monkeypatch.setattr(postgres.PostgresProcedure, "_globals", lambda *_: ("globals", ()))
    found = {"server_version": "16", "tables": {}}
    monkeypatch.setattr(postgres.PostgresProcedure, "_database", lambda self, access, held: (held.name, found))
    return made


def procedure(spool: Path, *, consistency: bool) -> postgres.PostgresProcedure:
    component = Component("db", Kind.POSTGRES, Manner.ONLINE, ("db",))
    work: Any = SimpleNamespace(engine=None)
    stopping: Any = None
    return postgres.PostgresProcedure(
        Saving(work, component, MemoryFiles(), stopping, spool, consistency=consistency)
    )


def test_more_databases_than_sessions_are_saved_one_after_the_other(server: Server, tmp_path: Path) -> None:
    """Where nothing has to be of one moment; all of them, and no session stays."""
    made = procedure(tmp_path, consistency=False)
    made.open()
    saved = made.save()
    assert len(saved.files) == 201
    assert (server.most, server.now) == (1, 0)


def test_a_consistency_point_that_the_server_has_no_room_for_is_refused_early(
    server: Server, tmp_path: Path
) -> None:
    """By name and with both numbers, before anybody stands still; not one session is opened."""
    made = procedure(tmp_path, consistency=True)
    with pytest.raises(Refused, match=r"200 databases take 204 sessions at one moment, and 93 of 100") as raised:
        made.early()
    assert "max_connections" in raised.value.next
    assert server.most == 0


def test_all_are_held_at_one_moment_where_there_is_room(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the consistency point until they are saved."""
    monkeypatch.setitem(ANSWERS, sql.CONNECTIONS, [("300", "7")])
    made = procedure(tmp_path, consistency=True)
    made.early()
    made.open()
    assert server.now == 200
    made.save()
    made.close()
    assert server.now == 0

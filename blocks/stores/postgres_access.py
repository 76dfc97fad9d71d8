"""How a PostgreSQL container is got into: user, password, port, socket, and a first database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from blocks.credentials import POSTGRES_DATABASES, POSTGRES_PASSWORDS, POSTGRES_USERS
from blocks.engine import Engine
from blocks.exec_stream import reading
from blocks.stores.containers import QUICK, Asked, ask_container
from blocks.stores.postgres import Access, Session
from compose.stack.backup import tools
from compose.stack.errors import Failed


def access_of(engine: Engine, container: str, options: Mapping[str, object] | None = None) -> Access:
    """Find out how a server is reached as its superuser.

    Args:
        options: `user` and `port`, where the container's environment does not tell them.

    Raises:
        Failed: Its container does not run, or nobody gets in.
    """
    asked = ask_container(engine, container)
    given = options or {}
    user = str(given.get("user") or asked.value(*POSTGRES_USERS) or "postgres")
    password = asked.value(*POSTGRES_PASSWORDS)
    port = int(str(given.get("port") or tools.postgres_port(asked.environment, asked.command)))
    return _reaching(Access(asked, user, password, port))


def first_session(access: Access) -> Session:
    """A session with any database that is sure to be there.

    Raises:
        Failed: None lets us in; the reason of the last.
    """
    named = access.asked.value(*POSTGRES_DATABASES) or access.user
    last: Failed | None = None
    for database in dict.fromkeys(("postgres", named, "template1")):
        try:
            return access.session(database)
        except Failed as error:
            last = error
    assert last is not None
    raise last


def _reaching(access: Access) -> Access:
    """The same with the place inside the container at which its own tools are let in."""
    said: list[str] = []
    for host in dict.fromkeys((access.asked.environment.get("PGHOST", ""), "", "127.0.0.1")):
        tried = replace(access, host=host)
        for database in dict.fromkeys(("postgres", access.asked.value(*POSTGRES_DATABASES) or access.user)):
            code, output = _try(access.asked, tried, database)
            if code == 0:
                return tried
            said.append(" ".join(output.split())[-160:])
    raise Failed(
        f"its own tools are not let in: {said[-1]}",
        where=access.asked.container.name,
        next="check POSTGRES_USER and POSTGRES_PASSWORD",
    )


def _try(asked: Asked, access: Access, database: str) -> tuple[int, str]:
    argv = tools.psql(database)
    with reading(asked.engine, asked.id, argv, environment=access.environment, idle=QUICK) as running:
        for _ in running:
            pass
        return running.code(), running.said

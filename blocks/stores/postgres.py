"""The door to PostgreSQL: sessions over the network, or by psql inside the container where that cannot be."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any, Protocol

import psycopg

from blocks.exec_stream import feeding
from blocks.stores.containers import Asked
from compose.stack.backup import postgres_sql as sql
from compose.stack.backup import tools
from compose.stack.errors import Failed

APPLICATION = "ops-backup"
CONNECT = 5


class Session(Protocol):
    """One session with one database."""

    def rows(self, query: str, columns: int = 1) -> list[tuple[str, ...]]:
        """The answer to one query; every column is text and none is NULL.

        Raises:
            Failed: The server refused it; its own words.
        """

    def cancel(self) -> None:
        """Break off what it works on; from another thread."""

    def close(self) -> None:
        """End it, and any transaction that is open; never raises."""


@dataclass(frozen=True)
class Access:
    """How a server is reached.

    Args:
        asked: Its container.
        user: A superuser.
        host: What its tools connect to inside the container; empty for its socket.
    """

    asked: Asked
    user: str
    password: str | None = field(repr=False)
    port: int
    host: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Variables for the server's tools inside its container."""
        found = {
            "PGUSER": self.user, "PGPORT": str(self.port), "PGAPPNAME": APPLICATION, "PGCLIENTENCODING": "UTF8",
            "PGOPTIONS": "", "PGCONNECT_TIMEOUT": str(CONNECT), "PGSSLMODE": "prefer",
        }  # fmt: skip
        found |= {"PGHOST": self.host} if self.host else {}
        return found | ({"PGPASSWORD": self.password} if self.password else {})

    def session(self, database: str) -> Session:
        """Connect to a database, over the network if it can be reached, else inside the container.

        Raises:
            Failed: Neither is possible.
        """
        try:
            return self._direct(database)
        except psycopg.OperationalError as error:
            try:
                return InContainer(self, database)
            except Failed as second:
                why = " ".join(str(error).split())[-160:]
                raise Failed(f"{second.what} (over the network: {why})", where=self.asked.container.name) from None

    def _direct(self, database: str) -> Session:
        address = self.asked.container.address
        if not address:
            raise psycopg.OperationalError("it has no address of its own")
        connection = psycopg.connect(
            host=address,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=database,
            connect_timeout=CONNECT,
            application_name=APPLICATION,
            client_encoding="UTF8",
            autocommit=True,
        )
        session = Direct(connection)
        session.rows(sql.SETTINGS)
        return session


@dataclass(frozen=True)
class Direct:
    """A session over the network."""

    connection: psycopg.Connection[Any]

    def rows(self, query: str, columns: int = 1) -> list[tuple[str, ...]]:
        """See `Session`."""
        try:
            cursor = self.connection.execute(query.encode())
            found = cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise Failed(" ".join(str(error).split())[-300:], where="PostgreSQL") from None
        return [tuple("" if value is None else str(value) for value in row) for row in found]

    def cancel(self) -> None:
        """See `Session`."""
        self.connection.cancel_safe(timeout=CONNECT)

    def close(self) -> None:
        """See `Session`."""
        self.connection.close()


class InContainer:
    """A session of psql inside the container.

    Raises:
        Failed: psql does not get in.
    """

    def __init__(self, access: Access, database: str) -> None:
        self._feeding = feeding(
            access.asked.engine, access.asked.id, tools.psql(database), environment=access.environment
        )
        self._running = self._feeding.__enter__()
        self._rest = b""
        self._end = f"ops-end-{uuid.uuid4().hex}"
        try:
            self.rows(sql.SETTINGS)
        except BaseException:
            self.close()
            raise

    def rows(self, query: str, columns: int = 1) -> list[tuple[str, ...]]:
        """See `Session`."""
        self._running.send(f"{query.strip()};\n\\echo {self._end}\n".encode())
        mark = f"{self._end}\n".encode()
        while mark not in self._rest:
            data = self._running.read()
            if not data:
                raise Failed(f"psql ended: {self._running.said or 'it said nothing'}"[-400:], where="PostgreSQL")
            self._rest += data
        answer, _, self._rest = self._rest.partition(mark)
        fields = answer.decode().split("\0")[:-1] if answer else []
        return [tuple(fields[at : at + columns]) for at in range(0, len(fields), columns)]

    def cancel(self) -> None:
        """See `Session`."""
        self._running.kill()

    def close(self) -> None:
        """See `Session`."""
        self._feeding.__exit__(None, None, None)

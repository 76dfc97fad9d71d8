"""Workflows in PostgreSQL."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from backend_agi.settings import Settings

SETTINGS = ("server_version", "shared_buffers", "max_connections", "work_mem")
_TABLE = """
CREATE TABLE IF NOT EXISTS workflows (
    id uuid PRIMARY KEY, name text NOT NULL, created timestamptz NOT NULL DEFAULT now(), tasks jsonb NOT NULL
)"""
_LOCK = 0x5A7A  # an advisory lock of our own: two backends making the table at once would collide


@dataclass(frozen=True)
class Workflow:
    """A named list of tasks of the coordinator."""

    id: uuid.UUID
    name: str
    tasks: list[str]
    created: datetime | None = field(default=None)


class Store:
    """One connection per use: a database that was away is found again without further care."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    async def connect(self) -> psycopg.AsyncConnection[dict[str, Any]]:
        """Return a new connection; raises psycopg.OperationalError."""
        settings = self.settings
        return await psycopg.AsyncConnection.connect(
            host=settings.postgres_host,
            port=settings.postgres_port,
            user=settings.postgres_user,
            password=settings.postgres_password,
            dbname=settings.postgres_db,
            connect_timeout=3,
            application_name="backend-agi",
            row_factory=dict_row,
        )

    async def about(self) -> tuple[str, int]:
        """Return the server's version and the size of the database in bytes."""
        query = "SELECT current_setting('server_version') AS v, pg_database_size(current_database()) AS size"
        (row,) = await self._rows(query)
        return str(row["v"]).split()[0], int(row["size"])

    async def server_settings(self) -> dict[str, str]:
        """Return settings of the server as it runs with them."""
        query = "SELECT name, current_setting(name) AS value FROM unnest(%s::text[]) AS name"
        return {row["name"]: row["value"] for row in await self._rows(query, [list(SETTINGS)])}

    async def add(self, workflow: Workflow) -> None:
        """Keep a workflow; makes the table when it is not there."""
        async with await self.connect() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            await connection.execute(_TABLE)
            await connection.execute(
                "INSERT INTO workflows (id, name, tasks) VALUES (%s, %s, %s)",
                [workflow.id, workflow.name, Jsonb(workflow.tasks)],
            )

    async def recent(self, limit: int) -> list[Workflow]:
        """Return the newest workflows first."""
        query = "SELECT id, name, created, tasks FROM workflows ORDER BY created DESC LIMIT %s"
        try:
            return [Workflow(**row) for row in await self._rows(query, [limit])]
        except psycopg.errors.UndefinedTable:
            return []

    async def count(self) -> int:
        """Return how many workflows there are."""
        try:
            (row,) = await self._rows("SELECT count(*) AS n FROM workflows")
        except psycopg.errors.UndefinedTable:
            return 0
        return int(row["n"])

    async def _rows(self, query: str, values: list[Any] | None = None) -> list[dict[str, Any]]:
        async with await self.connect() as connection:
            return await (await connection.execute(query.encode(), values)).fetchall()

"""PostgreSQL: write and read inside a transaction that is rolled back."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from blocks.credentials import postgres_login
from blocks.working.scene import Broken, NotProven, Proof, Scene, place_of
from compose.stack.observed import Container
from compose.stack.round_trips import RoundTrip

REFUSED = ("28P01", "28000")


def round_trip(trip: RoundTrip, container: Container, scene: Scene) -> list[Proof]:
    """Make a table, write a row, read it, roll everything back, and look whether anything is left.

    Raises:
        Broken: What was written is not read, or something is left behind.
    """
    table, token = f"ops_verify_{uuid.uuid4().hex}", uuid.uuid4().hex
    with connected(trip, container, scene) as connection:
        if ask(connection, "SELECT pg_is_in_recovery()") == "True":
            raise NotProven("a standby: it takes no writes")
        connection.autocommit = False
        name = sql.Identifier(table)
        connection.execute(sql.SQL("CREATE TABLE {} (token text)").format(name))
        connection.execute(sql.SQL("INSERT INTO {} VALUES (%s)").format(name), (token,))
        row = connection.execute(sql.SQL("SELECT token FROM {}").format(name)).fetchone()
        connection.rollback()
        if row is None or row[0] != token:
            raise Broken("a row just written reads differently")
    with connected(trip, container, scene) as connection:
        left = connection.execute("SELECT count(*) FROM pg_class WHERE relname = %s", (table,)).fetchone()
        if left != (0,):
            raise Broken(f"table {table} is still there after the rollback")
        version = ask(connection, "SHOW server_version")
    return [Proof(str(trip), f"PostgreSQL {version.split()[0]}: wrote, read and rolled back a row")]


@contextmanager
def connected(trip: RoundTrip, container: Container, scene: Scene) -> Iterator[psycopg.Connection[Any]]:
    """A connection with the credentials of the container's own environment.

    Raises:
        NotProven: No password is known and the server asks for one.
        Broken: It cannot be reached or an instruction failed.
    """
    login = postgres_login(container, scene.read(container))
    place = place_of(container, trip.port)
    try:
        with psycopg.connect(
            host=place.host,
            port=place.port,
            user=login.user,
            password=login.password,
            dbname=login.database,
            connect_timeout=3,
            application_name="ops-verify",
            options=f"-c statement_timeout={int(trip.within * 1000)}",
            autocommit=True,
        ) as connection:
            yield connection
    except psycopg.Error as error:
        text = " ".join(str(error).split())
        if login.password is None and (error.sqlstate in REFUSED or "no password supplied" in text):
            raise NotProven("it asks for a password that is not known here") from None
        raise Broken(text[-200:]) from None


def ask(connection: psycopg.Connection[Any], query: LiteralString) -> str:
    """The single value of a query, as text."""
    row = connection.execute(query).fetchone()
    return str(row[0]) if row else ""


def show(connection: psycopg.Connection[Any], name: str) -> str:
    """A setting as the server shows it; empty for one that it does not have."""
    row = connection.execute("SELECT current_setting(%s, true)", (name,)).fetchone()
    return str(row[0] or "") if row else ""

"""Making what services need of each other: databases, roles, collections, registrations; each read back."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg
from psycopg import sql

from blocks.credentials import Login, Run, postgres_login, reader
from blocks.probing import http
from blocks.reaching import Place, reach
from compose.stack.backup import tools
from compose.stack.errors import Failed
from compose.stack.hints import AgentNeeds, ChromaNeeds, PostgresNeeds
from compose.stack.observed import Container

CHROMA = "/api/v2/tenants/default_tenant/databases/default_database/collections"
LIMIT = 15.0


def postgres(needs: PostgresNeeds, container: Container, run: Run) -> list[str]:
    """Make the databases, extensions and roles that are missing; what was made.

    Args:
        run: Runs a command in a container; its password may lie in a file there.

    Raises:
        Failed: The server refused, or does not show what was made.
    """
    made: list[str] = []
    login = postgres_login(container, reader(container, run))
    place = _place(container, tools.postgres_port(container.environment, container.command))
    try:
        with _connected(place, login, login.database) as server:
            for name in needs.databases:
                if not server.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                    server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
                    made.append(f"database {name}")
            for role in needs.readers:
                if not server.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                    server.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
                    made.append(f"role {role}")
        for name, extensions in needs.extensions.items():
            with _connected(place, login, name) as database:
                for extension in extensions:
                    wanted = sql.SQL("CREATE EXTENSION IF NOT EXISTS {}").format(sql.Identifier(extension))
                    database.execute(wanted)
        for role, name in needs.readers.items():
            with _connected(place, login, name) as database:
                _let_read(database, role, name)
    except psycopg.Error as error:
        raise Failed(" ".join(str(error).split()), where=needs.service, next="./ops verify") from None
    return made


def _let_read(database: psycopg.Connection[Any], role: str, name: str) -> None:
    who, where = sql.Identifier(role), sql.Identifier(name)
    database.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(where, who))
    database.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(who))
    database.execute(sql.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {}").format(who))
    database.execute(sql.SQL("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {}").format(who))
    row = database.execute("SELECT has_database_privilege(%s, %s, 'CONNECT')", (role, name)).fetchone()
    if row != (True,):
        raise Failed(f"role {role} may not connect to {name} after the grant", where="postgres")


def _place(container: Container, port: int) -> Place:
    """Where a service is talked to.

    Raises:
        Failed: No way leads there from here.
    """
    place = reach(container, port, published=True)
    if place is None or not place.host_answers:
        raise Failed(
            f"port {port} is not reachable from here, neither at its container's address nor on this machine",
            where=container.service,
            next=f"publish the port: ports: ['127.0.0.1:{port}:{port}']",
        )
    return place


def _connected(place: Place, login: Login, database: str) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=place.host,
        port=place.port,
        user=login.user,
        password=login.password,
        dbname=database,
        connect_timeout=5,
        autocommit=True,
        application_name="ops-integrate",
    )


def chroma(needs: ChromaNeeds, container: Container) -> list[str]:
    """Make the collections that are missing; what was made."""
    url = f"http://{_place(container, 8000)}{CHROMA}"
    there = {entry["name"] for entry in _json("GET", f"{url}?limit=1000", needs.service)}
    missing = [name for name in needs.collections if name not in there]
    for name in missing:
        _json("POST", url, needs.service, {"name": name, "get_or_create": True})
    for name in needs.collections:
        _json("GET", f"{url}/{name}", needs.service)
    return [f"collection {name}" for name in missing]


def agents(needs: AgentNeeds, container: Container) -> list[str]:
    """Register the agents that the coordinator does not know, or knows elsewhere; what was made."""
    base = f"http://{_place(container, needs.port)}"
    known = {entry["name"]: entry.get("url") for entry in _json("GET", f"{base}/agents", needs.service)["agents"]}
    missing = {name: url for name, url in needs.agents.items() if known.get(name) != url}
    token = container.environment.get(needs.token, "")
    for name, url in missing.items():
        _json("POST", f"{base}/agents/register", needs.service, {"name": name, "url": url}, token)
    now = {entry["name"] for entry in _json("GET", f"{base}/agents", needs.service)["agents"]}
    if set(needs.agents) - now:
        raise Failed(f"does not know {', '.join(sorted(set(needs.agents) - now))}", where=needs.service)
    return [f"agent {name}" for name in missing]


def _json(method: str, url: str, where: str, body: Any = None, token: str = "") -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        response = http().request(method, url, json=body, headers=headers, timeout=LIMIT)
    except httpx.HTTPError as error:
        raise Failed(f"{method} {httpx.URL(url).path}: {type(error).__name__}: {error}", where=where) from None
    if not response.is_success:
        said = " ".join(response.text.split())[:160]
        raise Failed(f"{method} {httpx.URL(url).path} answered {response.status_code}: {said}", where=where)
    return response.json()

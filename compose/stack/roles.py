"""What a service is: told by `x-ops.role`, else by the name of its image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import dropwhile

from compose.stack.errors import Refused
from compose.stack.service import Service


class Role(StrEnum):
    """The kinds of service that the product knows by heart."""

    POSTGRES = "postgres"
    REDIS = "redis"
    NEO4J = "neo4j"
    MYSQL = "mysql"
    MONGO = "mongo"
    CHROMADB = "chromadb"
    QDRANT = "qdrant"
    FAISS = "faiss"
    OLLAMA = "ollama"
    LITELLM = "litellm"
    NGINX = "nginx"
    PROMETHEUS = "prometheus"
    GRAFANA = "grafana"
    LOKI = "loki"
    PROMTAIL = "promtail"
    HTTP = "http"
    OTHER = "other"


@dataclass(frozen=True)
class RoleFacts:
    """What is known of a role.

    Args:
        ports: Container ports, the one that is probed first.
        data: Paths where the image keeps its data.
        ready: Readiness route of its HTTP interface, if it has one.
    """

    ports: tuple[int, ...] = ()
    data: tuple[str, ...] = ()
    ready: str | None = None
    database: bool = False


FACTS: dict[Role, RoleFacts] = {
    Role.POSTGRES: RoleFacts((5432,), ("/var/lib/postgresql/data", "/var/lib/postgresql"), database=True),
    Role.REDIS: RoleFacts((6379,), ("/data",), database=True),
    Role.NEO4J: RoleFacts((7687, 7474), ("/data",), database=True),
    Role.MYSQL: RoleFacts((3306,), ("/var/lib/mysql",), database=True),
    Role.MONGO: RoleFacts((27017,), ("/data/db",), database=True),
    Role.CHROMADB: RoleFacts((8000,), ("/data",), "/api/v2/heartbeat", database=True),
    Role.QDRANT: RoleFacts((6333,), ("/qdrant/storage",), "/readyz", database=True),
    Role.FAISS: RoleFacts((8000,), (), "/health"),
    Role.OLLAMA: RoleFacts((11434,), ("/root/.ollama",), "/api/version"),
    Role.LITELLM: RoleFacts((4000,), (), "/health/readiness"),
    Role.NGINX: RoleFacts((80,)),
    Role.PROMETHEUS: RoleFacts((9090,), ("/prometheus",), "/-/ready"),
    Role.GRAFANA: RoleFacts((3000,), ("/var/lib/grafana",), "/api/health"),
    Role.LOKI: RoleFacts((3100,), ("/loki",), "/ready"),
    Role.PROMTAIL: RoleFacts((9080,), (), "/ready"),
}

IMAGE_NAMES: dict[str, Role] = {
    "postgres": Role.POSTGRES, "postgresql": Role.POSTGRES, "pgvector": Role.POSTGRES,
    "postgis": Role.POSTGRES, "timescaledb": Role.POSTGRES,
    "redis": Role.REDIS, "valkey": Role.REDIS, "neo4j": Role.NEO4J,
    "mysql": Role.MYSQL, "mariadb": Role.MYSQL, "mongo": Role.MONGO, "chroma": Role.CHROMADB,
    "chromadb": Role.CHROMADB, "qdrant": Role.QDRANT, "faiss": Role.FAISS, "ollama": Role.OLLAMA,
    "litellm": Role.LITELLM, "litellm-database": Role.LITELLM, "nginx": Role.NGINX,
    "nginx-unprivileged": Role.NGINX, "prometheus": Role.PROMETHEUS, "grafana": Role.GRAFANA,
    "loki": Role.LOKI, "promtail": Role.PROMTAIL,
}  # fmt: skip


SHELLS = {"sh", "bash", "ash", "dash"}
KEYWORDS = {"exec", "if", "then", "elif", "else", "while", "until", "do", "!"}
CLIENTS: dict[Role, frozenset[str]] = {
    Role.POSTGRES: frozenset({"psql", "pg_dump", "pg_dumpall", "pg_restore", "pg_isready", "createdb"}),
    Role.REDIS: frozenset({"redis-cli", "valkey-cli"}),
    Role.MYSQL: frozenset({"mysql", "mariadb", "mysqldump", "mariadb-dump", "mysqladmin", "mariadb-admin"}),
    Role.MONGO: frozenset({"mongosh", "mongo", "mongodump", "mongorestore", "mongoimport"}),
    Role.NEO4J: frozenset({"cypher-shell", "neo4j-admin"}),
    Role.OLLAMA: frozenset({"ollama pull", "ollama create", "ollama run", "ollama list"}),
}
"""Programs of an image that talk to a server elsewhere: what only calls these is a job, and no such server."""
SERVERS = frozenset({
    "postgres", "postmaster", "pg_ctl", "redis-server", "valkey-server", "mysqld", "mysqld_safe", "mariadbd",
    "mariadbd-safe", "mongod", "neo4j", "tini", "ollama serve",
})  # fmt: skip


def image_name(reference: str) -> str:
    """The last word of an image reference, without registry, tag and digest."""
    return reference.split("@")[0].rsplit("/", 1)[-1].split(":")[0]


def role_of(service: Service) -> Role:
    """What a service is; what only calls an image's clients, as `psql` does, is no such server.

    Raises:
        Refused: `x-ops.role` names no known role.
    """
    if service.hints.role:
        try:
            return Role(service.hints.role)
        except ValueError:
            known = ", ".join(role.value for role in Role)
            raise Refused(
                f"unknown role {service.hints.role!r}",
                where=f"services.{service.name}.x-ops.role",
                next=f"one of: {known}",
            ) from None
    role = IMAGE_NAMES.get(image_name(service.image), Role.OTHER)
    return Role.OTHER if _only_calls_clients(service, role) else role


def _only_calls_clients(service: Service, role: Role) -> bool:
    """Whether a service on a server's image is surely no server: no data of its own, no server, no script."""
    called = programs(service)
    starts = called & SERVERS or any(name.endswith(".sh") for name in called)
    holds = any(mount.target in facts(role).data for mount in service.mounts)
    return bool(called & CLIENTS.get(role, frozenset())) and not starts and not holds


def programs(service: Service) -> frozenset[str]:
    """The programs that entry point and command of the file call, alone and with their first word."""
    words = (*service.entrypoint, *service.command)
    shell = bool(words) and words[0].rsplit("/", 1)[-1] in SHELLS and "-c" in words
    line = " ".join(words[words.index("-c") + 1 :]) if shell else " ".join(words).replace("\n", " ")
    found: set[str] = set()
    for part in re.split(r"[;&|()\n]+", line) if shell else [line]:
        called = list(dropwhile(lambda word: word in KEYWORDS or "=" in word, part.split()))
        if called:
            name = called[0].rsplit("/", 1)[-1]
            found |= {name, " ".join((name, *called[1:2]))}
    return frozenset(found)


def usual_ports(service: Service) -> tuple[int, ...]:
    """The container ports that a service's image is known to use, the one that is probed first."""
    return (8080,) if image_name(service.image) == "nginx-unprivileged" else facts(role_of(service)).ports


def facts(role: Role) -> RoleFacts:
    """What is known of a role (nothing, for an unknown one)."""
    return FACTS.get(role, RoleFacts())

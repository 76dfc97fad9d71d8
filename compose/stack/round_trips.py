"""Which round trip proves that a service works: told by `x-ops.verify`, else by its role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from compose.stack.errors import Refused
from compose.stack.inference import is_oneshot, port_served, readiness_of
from compose.stack.probes import ExecProbe, HttpProbe, PostgresProbe, RedisProbe, TcpProbe
from compose.stack.roles import Role, facts, role_of
from compose.stack.service import Service, Stack


class RoundTrip(BaseModel):
    """A working check; `kind` is what `x-ops.verify` names.

    Args:
        port: Container port; 0 for the one that the service's own probe or its role names.
        within: Seconds until an answer counts as missing.
        settings: Names of settings to read back, each with the container's variable that promises its value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = 0
    within: float = Field(default=30.0, gt=0)
    settings: Mapping[str, str] = Field(default_factory=dict)


class PostgresTrip(RoundTrip):
    """Write and read in a transaction that is rolled back."""

    kind: Literal["postgres"] = "postgres"

    def __str__(self) -> str:
        return "write, read, roll back"


class RedisTrip(RoundTrip):
    """SET with an expiry, GET, DEL."""

    kind: Literal["redis"] = "redis"

    def __str__(self) -> str:
        return "SET with expiry, GET, DEL"


class ChromaTrip(RoundTrip):
    """Create a collection, insert, query, delete it."""

    kind: Literal["chromadb"] = "chromadb"

    def __str__(self) -> str:
        return "insert, query, delete"


class OllamaTrip(RoundTrip):
    """Generate a non-empty answer with a model of the catalogue.

    Args:
        models: Names to choose from, the preferred first; empty for the catalogue's.
    """

    kind: Literal["ollama"] = "ollama"
    models: tuple[str, ...] = ()
    prompt: str = "Say hello."
    tokens: int = Field(default=16, ge=1)
    within: float = Field(default=120.0, gt=0)

    def __str__(self) -> str:
        return "generate an answer"


class BackendTrip(RoundTrip):
    """Its health report, compared with what we see ourselves.

    Args:
        services: Names in the report to services of the stack, where their roles do not tell.
    """

    kind: Literal["backend"] = "backend"
    path: str = "/health"
    services: Mapping[str, str] = Field(default_factory=dict)

    def __str__(self) -> str:
        return "report against what we see"


class CoordinatorTrip(RoundTrip):
    """A task given to it comes back with the model's text.

    Args:
        token_key: The container's variable that holds the bearer token.
    """

    kind: Literal["coordinator"] = "coordinator"
    path: str = "/assign"
    result_path: str = "/tasks/{id}"
    token_key: str = "API_TOKEN"
    prompt: str = "Verification: say hello."
    tokens: int = Field(default=16, ge=1)
    within: float = Field(default=120.0, gt=0)

    def __str__(self) -> str:
        return "a task and its answer"


class FrontendTrip(RoundTrip):
    """A page and its websocket, at the service itself and through the proxy.

    Args:
        contains: Text that the page must have.
        websocket: Path of the websocket; empty for none.
        protocol: Its subprotocol.
        through: Service in front that must give the same; empty for the stack's nginx, if it has one.
    """

    kind: Literal["frontend"] = "frontend"
    path: str = "/"
    contains: str = "streamlit"
    websocket: str = "/_stcore/stream"
    protocol: str = "streamlit"
    through: str = ""

    def __str__(self) -> str:
        return "page and websocket"


class HttpTrip(RoundTrip):
    """Paths that must answer, and at will a websocket.

    Args:
        status: The one status that passes; None for any from 200 to 399.
        contains: Text that each answer must have, whatever its case.
    """

    kind: Literal["http", "proxy"] = "http"
    paths: tuple[str, ...] = ("/",)
    status: int | None = None
    contains: str = ""
    websocket: str = ""
    protocol: str = ""

    def __str__(self) -> str:
        asked = "GET " + ", ".join(self.paths)
        return f"{asked}, websocket {self.websocket}" if self.websocket else asked


class ExecTrip(RoundTrip):
    """A command inside the container that exits with code 0."""

    kind: Literal["exec"] = "exec"
    argv: tuple[str, ...] = Field(min_length=1)

    def __str__(self) -> str:
        return f"exec {' '.join(self.argv)}"


class NoTrip(RoundTrip):
    """The author says that there is none."""

    kind: Literal["none"] = "none"


Trip = (
    PostgresTrip | RedisTrip | ChromaTrip | OllamaTrip | BackendTrip | CoordinatorTrip | FrontendTrip
    | HttpTrip | ExecTrip | NoTrip
)  # fmt: skip
_TRIP: TypeAdapter[Trip] = TypeAdapter(Annotated[Trip, Field(discriminator="kind")])
BY_ROLE: dict[Role, Trip] = {
    Role.POSTGRES: PostgresTrip(),
    Role.REDIS: RedisTrip(),
    Role.CHROMADB: ChromaTrip(),
    Role.OLLAMA: OllamaTrip(),
}
REPORTED = {
    "postgresql": Role.POSTGRES, "postgres": Role.POSTGRES, "database": Role.POSTGRES, "redis": Role.REDIS,
    "ollama": Role.OLLAMA, "chromadb": Role.CHROMADB, "chroma": Role.CHROMADB, "qdrant": Role.QDRANT,
    "neo4j": Role.NEO4J, "faiss": Role.FAISS, "litellm": Role.LITELLM,
}  # fmt: skip
"""Names in a health report (section 6.1) and the roles that they mean."""


def trip_of(stack: Stack, name: str) -> Trip | None:
    """The round trip that proves a service working; None where nobody knows one (one-shots are judged by exit).

    Raises:
        Refused: `x-ops.verify` is not understood.
    """
    service = stack[name]
    if is_oneshot(stack, name):
        return None
    trip = _told(service) or BY_ROLE.get(role_of(service))
    if trip is None or isinstance(trip, NoTrip):
        return None
    return trip if trip.port else trip.model_copy(update={"port": port_of(stack, name)})


def _told(service: Service) -> Trip | None:
    said = service.hints.verify
    if not said:
        return None
    where = f"services.{service.name}.x-ops.verify"
    try:
        return _TRIP.validate_python(said)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise Refused(problems, where=where, next="correct the verify block") from None


def port_of(stack: Stack, name: str) -> int:
    """The container port that a service is talked to at: its probe's, its role's, or the first of the file."""
    service, probe = stack[name], readiness_of(stack, name).probe
    if isinstance(probe, (HttpProbe, TcpProbe, PostgresProbe, RedisProbe)):
        return probe.port
    return port_served(service) or 80


def ready_probe(stack: Stack, name: str) -> HttpProbe | PostgresProbe | RedisProbe | ExecProbe | None:
    """What proves a service ready: its protocol, its readiness route, or its declared health check.

    None where only a port or a running process is known: that proves nothing about readiness.
    """
    service, own = stack[name], readiness_of(stack, name)
    role = role_of(service)
    trip = trip_of(stack, name)
    if role is Role.POSTGRES:
        return PostgresProbe(port_of(stack, name), strict=True)
    if role is Role.REDIS:
        return RedisProbe(port_of(stack, name), strict=True)
    if isinstance(trip, BackendTrip):
        return HttpProbe(trip.port, trip.path)
    if isinstance(own.probe, (HttpProbe, ExecProbe, PostgresProbe, RedisProbe)):
        return own.probe
    known = facts(role)
    if known.ready and not service.host_network:
        return HttpProbe(port_served(service) or known.ports[0], known.ready)
    return own.fallback


def reported_services(stack: Stack, trip: BackendTrip, report: Mapping[str, Any]) -> dict[str, str | None]:
    """Names in a health report, each with the stack's service that it means; None for one it does not have."""
    by_role: dict[Role, str] = {}
    for name, service in stack.services.items():
        by_role.setdefault(role_of(service), name)
    found: dict[str, str | None] = {}
    for said in report:
        names = (trip.services.get(said, ""), said, said.replace("_", "-"))
        told = next((name for name in names if name in stack.services), None)
        role = REPORTED.get(said)
        found[said] = told or (by_role.get(role) if role else None)
    return found

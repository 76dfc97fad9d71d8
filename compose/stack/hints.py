"""`x-ops`: what a compose file can tell that Compose itself has no word for."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from compose.stack.errors import Refused


class Hints(BaseModel):
    """Base of the two `x-ops` blocks: frozen, unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @classmethod
    def read(cls, where: str, value: object) -> Self:
        """Validate one block.

        Raises:
            Refused: Every unknown key and wrong value, named with its place.
        """
        try:
            return cls.model_validate(value or {})
        except ValidationError as error:
            problems = "; ".join(
                f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors()
            )
            raise Refused(problems, where=where, next="correct the x-ops block") from None


class HttpHint(Hints):
    """An HTTP probe: any status from 200 to 399 passes unless `status` names one."""

    port: int
    path: str = "/"
    status: int | None = None


class TcpHint(Hints):
    """A TCP probe: the port accepts."""

    port: int


class EmptyHint(Hints):
    """A probe without settings of its own."""


class ProbeHint(Hints):
    """Exactly one kind of probe."""

    http: HttpHint | None = None
    tcp: TcpHint | None = None
    postgres: EmptyHint | None = None
    redis: EmptyHint | None = None
    exec: tuple[str, ...] | None = None


class BackupHint(Hints):
    """How a service's data is saved, where inference is wrong.

    Args:
        live: Its volumes may be read while it runs.
        waive: Data that is not saved, with the reason, by path inside the container; `layer` is what it writes
            outside of every volume.
        kind: Treat it as this kind of component (`volume` saves a store's files as they lie, stopped).
        writer: Whether it stands still at a consistency point.
        stop_limit: Seconds after which a stop is given up and the service started again.
        pool: Whether its files go one by one into the pool; by size where nothing is said.
        hash_limit: Bytes of a table up to which its content is hashed.
        port: Where a store listens, where neither its environment nor its command tells.
        user: PostgreSQL's superuser, where its environment does not tell.
    """

    live: bool | None = None
    waive: dict[str, str] = Field(default_factory=dict)
    kind: str | None = None
    writer: bool | None = None
    stop_limit: float | None = Field(default=None, gt=0)
    pool: bool | None = None
    hash_limit: int | None = Field(default=None, ge=0)
    port: int | None = Field(default=None, ge=1, le=65535)
    user: str | None = Field(default=None, min_length=1)


class StackBackupHint(Hints):
    """What the file as a whole says of its backup.

    Args:
        waive: What is not saved, with the reason: volumes by their key in the file, configuration and build
            contexts by their path.
    """

    waive: dict[str, str] = Field(default_factory=dict)


class OpsHints(Hints):
    """The `x-ops` of a service.

    Args:
        phase: Phase of section 7.3 (1 to 12) that reports it.
        ready_within: Seconds until a service that is not ready counts as failed.
        oneshot: `once` (done when it exited 0 under the same configuration) or `always`.
        role: What the service is, where the image's name does not tell.
    """

    phase: int | None = Field(default=None, ge=1, le=12)
    tier: Literal["core", "app", "agent", "support"] | None = None
    probe: ProbeHint | None = None
    ready_within: float | None = Field(default=None, gt=0)
    oneshot: Literal["once", "always"] | None = None
    role: str | None = None
    verify: dict[str, Any] | None = None
    backup: BackupHint = Field(default_factory=BackupHint)
    update: dict[str, Any] | None = None


class SecretHint(Hints):
    """One generated secret.

    Args:
        store: The service whose data remembers it from its first start, if any.
        bytes: Entropy in bytes.
    """

    store: str | None = None
    bytes: int = Field(default=24, ge=16)


class PostgresNeeds(Hints):
    """What a PostgreSQL server has to hold.

    Args:
        databases: Databases to make, owned by the server's own user.
        extensions: Extensions to make, by database.
        readers: Roles without login that may read a database, by role.
    """

    service: str
    databases: tuple[str, ...] = ()
    extensions: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    readers: dict[str, str] = Field(default_factory=dict)


class ChromaNeeds(Hints):
    """Collections that a Chroma server has to hold."""

    service: str
    collections: tuple[str, ...]


class AgentNeeds(Hints):
    """Agents that a coordinator has to know, each by name with its address.

    Args:
        token: Variable in the coordinator's environment that holds the bearer token.
    """

    service: str
    port: int = 8522
    token: str = "API_TOKEN"
    agents: dict[str, str]


class IntegrationHint(Hints):
    """What services need of each other once all of them are ready (phase 11)."""

    postgres: tuple[PostgresNeeds, ...] = ()
    chromadb: tuple[ChromaNeeds, ...] = ()
    coordinator: tuple[AgentNeeds, ...] = ()


class StackHints(Hints):
    """The top-level `x-ops` of a compose file."""

    integration: IntegrationHint = Field(default_factory=IntegrationHint)

    own: bool = False
    generated_secrets: dict[str, SecretHint] = Field(default_factory=dict)
    backup: StackBackupHint = Field(default_factory=StackBackupHint)
    verify: dict[str, Any] | None = None

"""The manifest: what a backup holds, written last; without it there is no backup."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from compose.stack.backup.component import Kind, Manner

SCHEMA = 1
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.sig"
RUNBOOK = "RUNBOOK.md"

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Encoding = Literal["zstd", "age"]
Level = Literal["none", "bytes", "content"]


class Strict(BaseModel):
    """A value with these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Digest(Strict):
    """Bytes, counted and hashed."""

    sha256: Sha256
    bytes: int = Field(ge=0)


class FileRecord(Strict):
    """One file of a backup.

    Args:
        path: Below the backup's directory, as stored: `postgres/sutazai.dump.zst.age`.
        plain: What a store's own tool reads.
        stored: What lies on the target.
        encodings: Applied to the plain bytes in this order.
        secret: It holds what must never lie in clear.
    """

    path: str
    plain: Digest
    stored: Digest
    encodings: tuple[Encoding, ...] = ()
    secret: bool = False


class PoolRecord(Strict):
    """Files that lie in the pool.

    Args:
        listing: JSON lines, one per file: path, kind, mode, owner, time, size, SHA-256, blob.
        blobs: JSON lines in clear, one per blob: key in the pool, stored bytes, stored SHA-256.
        files: How many files; `bytes`: of all of them, plain.
        new_bytes: Stored bytes that this backup added.
    """

    listing: FileRecord
    blobs: FileRecord
    files: int = Field(ge=0)
    bytes: int = Field(ge=0)
    new_blobs: int = Field(ge=0)
    new_bytes: int = Field(ge=0)


class PlaceRecord(Strict):
    """Where a component's data lay, so that it can be put back."""

    kind: str
    source: str
    target: str = ""
    service: str = ""


class ComponentRecord(Strict):
    """What was saved of one component.

    Args:
        tool: What wrote its files, and in which version.
        downtime: Seconds in which its services did not serve; None where nothing was stopped.
        fingerprint: Counts and hashes of what the saved bytes hold; never values.
        sealed: Path of the encrypted file with those parts of the fingerprint that do hold values.
        checked: To which level it was proven while it was saved.
        left_out: Secrets that are not in it, by name, because nothing encrypts them.
    """

    name: str
    kind: Kind
    manner: Manner
    services: tuple[str, ...] = ()
    places: tuple[PlaceRecord, ...] = ()
    image: str = ""
    image_id: str = ""
    tool: str = ""
    tool_version: str = ""
    began: AwareDatetime
    ended: AwareDatetime
    moment: AwareDatetime | None = None
    downtime: float | None = None
    files: tuple[FileRecord, ...] = ()
    pool: PoolRecord | None = None
    fingerprint: dict[str, Any] = Field(default_factory=dict)
    sealed: str | None = None
    checked: Level = "none"
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def all_files(self) -> tuple[FileRecord, ...]:
        """Its files, the pool's listings included."""
        return self.files + ((self.pool.listing, self.pool.blobs) if self.pool else ())


class WaiverRecord(Strict):
    """Data that was not saved, and why."""

    what: str
    reason: str


class ConsistencyRecord(Strict):
    """The one moment that all stores were saved at.

    Args:
        writers: Services that stood still.
        seconds: For how long.
    """

    moment: AwareDatetime
    writers: tuple[str, ...]
    seconds: float


class Manifest(Strict):
    """A whole backup.

    Args:
        stack_id: Identity of the stack that it is of: two hosts never share one.
        recipients: age public keys that can open its files; empty when nothing is encrypted.
        missing: Components that are not in it, with the reason: they failed, or were not chosen. Such a backup is
            worth keeping until a complete one follows, and never counts as one.
        left_out: Secrets that were left out, by name, because nothing encrypts them.
        compose: The words of `docker compose` with the project's name and files, for whoever restores by hand.
    """

    schema_version: Literal[1] = Field(default=1, alias="schema")
    id: str
    stack: str
    stack_id: str
    project: str
    compose: tuple[str, ...] = ()
    host: str
    product: str
    began: AwareDatetime
    ended: AwareDatetime
    release: int | None = None
    release_hash: str = ""
    recipients: tuple[str, ...] = ()
    consistency: ConsistencyRecord | None = None
    components: tuple[ComponentRecord, ...]
    waived: tuple[WaiverRecord, ...] = ()
    missing: tuple[WaiverRecord, ...] = ()
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True when every component of the stack is in it."""
        return not self.missing

    def component(self, name: str) -> ComponentRecord | None:
        """One component by name."""
        return next((one for one in self.components if one.name == name), None)

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """Every file that lies in the backup's own directory."""
        return tuple(file for component in self.components for file in component.all_files)

    @property
    def stored_bytes(self) -> int:
        """What its own files take on a target; the pool's blobs are not counted."""
        return sum(file.stored.bytes for file in self.files)

    @property
    def new_bytes(self) -> int:
        """What it added to a target, new blobs included."""
        return self.stored_bytes + sum(c.pool.new_bytes for c in self.components if c.pool)

    @property
    def age(self) -> datetime:
        """The moment that its data is of: the earliest of its components."""
        moments = [c.moment or c.began for c in self.components]
        return min(moments, default=self.began)

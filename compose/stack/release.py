"""A release: what was deployed, exactly, hash-chained to the one before."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from compose.stack.errors import Refused

SCHEMA = 2
"""The second form keeps the file as it is rendered; that of the first cannot be brought back exactly."""


class ImageRecord(BaseModel):
    """The image of one service, as it was deployed."""

    model_config = ConfigDict(frozen=True)

    reference: str
    id: str
    digests: tuple[str, ...] = ()
    built_here: bool = False


class Health(BaseModel):
    """The evidence that one service was ready."""

    model_config = ConfigDict(frozen=True)

    state: str
    proof: str = ""
    seconds: float = 0.0


class Release(BaseModel):
    """One record of the chain.

    Args:
        number: Counts from 0; 0 is a stack that we first met running.
        previous: The hash of the record before; empty for the first.
        files: SHA-256 of each compose source as written, by its path.
        config_files: SHA-256 of each mounted configuration file, by service and path.
        variables: Values that records of the first form need; since the second they stand in the file.
        secrets: Keyed hash of each secret variable.
        services: Each service as rendered, secrets as keyed hashes.
        accepted: Preflight findings that were taken as a risk.
    """

    model_config = ConfigDict(frozen=True)

    schema_version: int = SCHEMA
    number: int
    kind: Literal["deploy", "rollback", "observed"]
    created: str
    project: str
    previous: str = ""
    of: int | None = None
    profiles: tuple[str, ...] = ()
    directory: str = ""
    files: dict[str, str] = Field(default_factory=dict)
    images: dict[str, ImageRecord] = Field(default_factory=dict)
    config_files: dict[str, dict[str, str]] = Field(default_factory=dict)
    variables: dict[str, str] = Field(default_factory=dict)
    secrets: dict[str, str] = Field(default_factory=dict)
    services: dict[str, Any] = Field(default_factory=dict)
    health: dict[str, Health] = Field(default_factory=dict)
    accepted: tuple[str, ...] = ()
    hash: str = ""

    @property
    def restorable(self) -> bool:
        """False for the first form, and where a service was only observed, of files that are not known."""
        return self.schema_version == SCHEMA and set(self.images) <= set(self.services)

    def within(self, scope: Collection[str], before: Release | None) -> Release:
        """The record of a deployment of some services; the others are as the release before has them.

        Args:
            scope: The services that were deployed.
            before: The release before; without one, nothing is known of the others.
        """

        def of(now: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
            others = {name: value for name, value in then.items() if name not in scope}
            return others | {name: value for name, value in now.items() if name in scope}

        parts = ("images", "config_files", "services", "health")
        return self.model_copy(
            update={part: of(getattr(self, part), getattr(before, part) if before else {}) for part in parts}
        )

    def sealed(self) -> Release:
        """The same record with its hash."""
        return self.model_copy(update={"hash": self.digest()})

    def digest(self) -> str:
        """SHA-256 over everything but the hash itself."""
        body = self.model_dump(mode="json", exclude={"hash"})
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

    def content(self) -> str:
        """What makes two releases the same: everything but when, why and how healthy."""
        parts = {"schema_version", "images", "config_files", "secrets", "services", "profiles"}
        body = self.model_dump(mode="json", include=parts)
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def check_chain(releases: Sequence[Release]) -> None:
    """Prove that no record was changed, lost or put in between.

    Raises:
        Refused: The first record that does not fit.
    """
    before: Release | None = None
    for release in releases:
        name = f"release {release.number}"
        if release.hash != release.digest():
            raise Refused("the record was changed after it was written", where=name)
        if before is not None and release.previous != before.hash:
            raise Refused(f"it does not follow release {before.number}: a record is missing", where=name)
        before = release


def kept_images(releases: Sequence[Release], count: int = 5) -> frozenset[str]:
    """Ids of the images that the last releases need."""
    return frozenset(image.id for release in releases[-count:] for image in release.images.values())


def changed_secrets(release: Release, today: dict[str, str]) -> tuple[str, ...]:
    """Names of the secrets whose keyed hash differs from the release's."""
    return tuple(sorted(name for name, value in release.secrets.items() if today.get(name, value) != value))

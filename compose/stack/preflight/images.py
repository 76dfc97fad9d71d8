"""What an image tells about itself, and what the checks ask of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Image:
    """An image's own configuration.

    Args:
        healthcheck: Its health check's test, empty for none.
        shell: What runs commands in shell form.
    """

    reference: str
    id: str = ""
    architecture: str = ""
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    volumes: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    directory: str = ""
    healthcheck: tuple[str, ...] = ()
    shell: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    def __hash__(self) -> int:
        return hash((self.reference, self.id))


def parse_image(reference: str, inspect: Mapping[str, Any]) -> Image:
    """Read what `docker image inspect` says."""
    config = inspect.get("Config") or {}
    pairs = (entry.partition("=") for entry in config.get("Env") or ())
    return Image(
        reference=reference,
        id=str(inspect.get("Id") or ""),
        architecture=str(inspect.get("Architecture") or ""),
        user=str(config.get("User") or ""),
        environment={key: value for key, _, value in pairs},
        volumes=tuple(config.get("Volumes") or ()),
        exposed=tuple(config.get("ExposedPorts") or ()),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        directory=str(config.get("WorkingDir") or ""),
        healthcheck=tuple((config.get("Healthcheck") or {}).get("Test") or ()),
        shell=tuple(config.get("Shell") or ()),
        labels=config.get("Labels") or {},
    )


@dataclass(frozen=True)
class Question:
    """What is asked of one image's files.

    Args:
        programs: Names to look for, each with the search path.
        places: Paths whose entry is asked for.
        accounts: Whether /etc/passwd and /etc/group are wanted.
    """

    programs: frozenset[tuple[str, str]] = frozenset()
    places: frozenset[str] = frozenset()
    accounts: bool = False

    def __or__(self, other: Question) -> Question:
        return Question(
            self.programs | other.programs, self.places | other.places, self.accounts or other.accounts
        )

    def __bool__(self) -> bool:
        return bool(self.programs or self.places or self.accounts)


@dataclass(frozen=True)
class Entry:
    """One entry of an image's file system."""

    kind: str = "file"
    uid: int = 0
    gid: int = 0
    mode: int = 0o755


@dataclass(frozen=True)
class Contents:
    """What was found in an image's file system.

    Args:
        programs: Where each program was found, empty for one that is not there.
        places: Each path's entry, None for one that is not there.
        passwd, group: The text of those files, empty where there is none, None when not looked at.
    """

    programs: Mapping[tuple[str, str], str] = field(default_factory=dict)
    places: Mapping[str, Entry | None] = field(default_factory=dict)
    passwd: str | None = None
    group: str | None = None


@dataclass(frozen=True)
class Account:
    """A user of an image, as numbers; None for what cannot be known."""

    uid: int | None
    gid: int | None = None
    home: str = ""


def account(user: str, contents: Contents) -> Account | str:
    """The user that a container runs as, or the name that the image does not know.

    Args:
        user: `postgres`, `999`, `999:999`, `app:staff`; empty for root.
        contents: What was found in the image.
    """
    name, colon, group = (user or "0").partition(":")
    people = [line.split(":") for line in (contents.passwd or "").splitlines()]
    known = next((row for row in people if len(row) >= 6 and name in (row[0], row[2])), None)
    if known is None and not name.isdigit():
        return name
    uid = int(name) if name.isdigit() else int(known[2]) if known and known[2].isdigit() else None
    home = known[5] if known else ""
    if not colon or not group:
        return Account(uid, int(known[3]) if known and known[3].isdigit() else 0, home)
    groups = [line.split(":") for line in (contents.group or "").splitlines()]
    found = next((row for row in groups if len(row) >= 3 and group in (row[0], row[2])), None)
    if found is None and not group.isdigit():
        return group
    return Account(uid, int(group) if group.isdigit() else int(found[2]) if found else None, home)

"""Compose projects of our own, each deployed for real: by plain Compose, and by us."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).parent
IMAGES = ("web", "data")


@dataclass(frozen=True)
class ComposeProject:
    """One project of this directory.

    Args:
        directory: Its folder, also its name behind the prefix `t-`.
        files: Compose files in order.
        env_files: Given with --env-file.
        profiles: Activated profiles.
        networks: External networks to make before.
        volumes: External volumes to make before.
        needs: Images that are not made by the tests; without them the project is skipped.
        makes: Images that it builds; removed before and after.
        place: Where it was copied to.
    """

    directory: str
    files: tuple[str, ...] = ("compose.yml",)
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    place: Path = HERE

    @property
    def name(self) -> str:
        """The compose project's name."""
        return f"t-{self.directory}"

    def path(self, relative: str) -> str:
        """The absolute path of one of its files."""
        return str(self.place / self.directory / relative)

    def copied(self, to: Path) -> ComposeProject:
        """The same project in a directory of its own, so that tests can edit it."""
        shutil.copytree(HERE / self.directory, to / self.directory)
        return replace(self, place=to)

    def compose(self, *words: str) -> tuple[str, ...]:
        """The docker arguments that a person would write for this project."""
        options = [word for file in self.files for word in ("-f", self.path(file))]
        options += [word for file in self.env_files for word in ("--env-file", self.path(file))]
        options += [word for profile in self.profiles for word in ("--profile", profile)]
        return ("compose", "-p", self.name, *options, *words)


PROJECTS = (
    ComposeProject("shop", env_files=("shop.env",)),
    ComposeProject("extending"),
    ComposeProject("including"),
    ComposeProject("profiled", profiles=("debug",)),
    ComposeProject("merged", files=("compose.yml", "compose.production.yml", "compose.site.yml")),
    ComposeProject("migrating"),
    ComposeProject("replicated"),
    ComposeProject("sidecar"),
    ComposeProject("hosted"),
    ComposeProject("outside", networks=("t-outside-shared",), volumes=("t-outside-data",)),
    ComposeProject("sealed", env_files=("sealed.env",)),
    ComposeProject("keeping"),
    ComposeProject("addressed"),
    ComposeProject("hardened"),
    ComposeProject("building", makes=("t-building/api:dev", "t-building-inline")),
    ComposeProject("checked"),
    ComposeProject("labelled"),
    ComposeProject("databases", needs=("sutazai/postgres:16.14", "sutazai/redis:7.0")),
)
HOOKED = ComposeProject("hooked")
"""Uses what Compose 2.26 accepts but does not do; refused by name."""

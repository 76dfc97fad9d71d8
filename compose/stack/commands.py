"""Every docker command line that the product runs, as values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

Argv = tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """Where a compose project comes from.

    Args:
        files: Compose files, in order.
        name: The project's name; empty to let Compose decide.
        env_files: Given with `--env-file`, in order.
        profiles: Profiles to activate.
        directory: The project directory; empty for the first file's.
        overlays: Files that we generated and add after the user's own.
    """

    files: tuple[str, ...]
    name: str = ""
    env_files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    directory: str = ""
    overlays: tuple[str, ...] = ()

    def with_all_profiles(self) -> Project:
        """The same project with every profile active."""
        return replace(self, profiles=("*",))

    def with_overlay(self, path: str) -> Project:
        """The same project with one more generated file."""
        return self if path in self.overlays else replace(self, overlays=(*self.overlays, path))


def compose(project: Project, *words: str) -> Argv:
    """`docker compose` for one project, with the given words after the global options."""
    options: list[str] = []
    if project.name:
        options += ["-p", project.name]
    if project.directory:
        options += ["--project-directory", project.directory]
    for path in (*project.files, *project.overlays):
        options += ["-f", path]
    for path in project.env_files:
        options += ["--env-file", path]
    for profile in project.profiles:
        options += ["--profile", profile]
    return ("docker", "compose", *options, *words)


def config(project: Project) -> Argv:
    """Render the project; YAML, because the JSON form drops `x-*` keys of services."""
    return compose(project, "config")


def config_probe(project: Project) -> Argv:
    """Render a file that comes on standard input with the project's variables."""
    directory = project.directory or str(Path(project.files[0]).parent)
    return config(replace(project, files=("-",), overlays=(), name="probe", directory=directory))


def config_hashes(project: Project) -> Argv:
    """The configuration hash of every service, as Compose labels its containers."""
    return compose(project, "config", "--hash", "*")


def converge(project: Project, services: Iterable[str] = (), *, force: bool = False) -> Argv:
    """Make or replace containers, networks and volumes; start nothing.

    `--no-deps` would strip `depends_on` from the containers' configuration hash and labels (seen in 2.26), and
    the next plain `up` would replace them again. So dependencies are in; they are converged before in any case.

    Args:
        services: Whose containers; all by default.
        force: Replace them although their configuration is the same.
    """
    how = ("--force-recreate",) if force else ()
    return compose(project, "up", "--no-start", "--no-build", "--pull", "never", *how, *services)


def start_by_compose(project: Project, services: Iterable[str]) -> Argv:
    """Let Compose itself start services whose hooks or injected files the engine's start would lose."""
    return compose(project, "up", "-d", "--no-deps", "--no-recreate", "--no-build", "--pull", "never", *services)


def dry_run(project: Project, services: Iterable[str] = ()) -> Argv:
    """Ask the installed Compose what `up` would create and recreate.

    Without the start: a dry run of that waits for containers that are down, and fails.
    """
    return compose(project, "--dry-run", "up", "--no-start", "--no-build", "--pull", "never", *services)


def plain_up(project: Project) -> Argv:
    """The command that a person can run afterwards; it must find nothing to do."""
    return compose(project, "up", "-d")


def build(project: Project, services: Iterable[str]) -> Argv:
    """Build the images of some services from the project's own build sections."""
    return compose(project, "build", *services)


def pull(image: str) -> Argv:
    """Get one image from its registry."""
    return ("docker", "pull", image)


def stop(project: Project, services: Iterable[str] = ()) -> Argv:
    """Stop services; containers, networks and volumes stay."""
    return compose(project, "stop", *services)


def down(project: Project) -> Argv:
    """Remove containers and networks; every volume stays."""
    return compose(project, "down")


def destroy(project: Project) -> Argv:
    """Remove containers, networks and volumes."""
    return compose(project, "down", "--volumes", "--remove-orphans")


def version() -> Argv:
    """The version of the Compose plugin."""
    return ("docker", "compose", "version", "--short")


def restart(project: Project, services: Iterable[str]) -> Argv:
    """Restart services in place; nothing that depends on them is touched."""
    return compose(project, "restart", "--no-deps", *services)


def logs(project: Project, services: Iterable[str], *, follow: bool, since: str, lines: int) -> Argv:
    """Print what services said.

    Args:
        since: A time or a duration, `10m`; empty for all.
        lines: How many last lines of each; 0 for all.
    """
    options = [*(["--follow"] if follow else []), *(["--since", since] if since else [])]
    options += ["--tail", str(lines)] if lines else []
    return compose(project, "logs", *options, *services)

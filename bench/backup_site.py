"""A compose project to back up, the state directory, the target; all of it goes away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.engine import docker, remove
from bench.place import Place, Run
from bench.projects import Project, written

SUBNET = "10.214.70.0/24"
POSTGRES = "sutazai/postgres:16.14"
USER = DATABASE = "bench"
DB = {
    "image": POSTGRES,
    "environment": {"POSTGRES_USER": USER, "POSTGRES_DB": DATABASE, "POSTGRES_PASSWORD": "of-a-bench-only"},
    # filled faster: what is measured only reads
    "command": ["postgres", "-c", "fsync=off", "-c", "wal_level=minimal", "-c", "max_wal_senders=0"],
    "volumes": ["pg:/var/lib/postgresql/data"],
    "healthcheck": {
        "test": ["CMD", "pg_isready", "-q", "-h", "127.0.0.1", "-U", USER],
        "interval": "30s", "start_period": "60s", "start_interval": "1s",
    },
}  # fmt: skip


def keeper(image: str, volume: str, **hints: Any) -> dict[str, Any]:
    """A service that has a volume and ends at once when it is told to.

    Args:
        hints: Of `x-ops.backup`.
    """
    loop = "trap 'exit 0' TERM; while :; do sleep 1 & wait $$!; done"
    return {
        "image": image,
        "command": ["sh", "-c", loop],
        "volumes": [f"{volume}:/data"],
        "mem_limit": "32m",
        "x-ops": {"backup": hints},
    }


@dataclass
class Site:
    """One project with its target.

    Args:
        target: Directory that backups go to; made anew by `fresh`.
    """

    place: Place
    project: Project
    target: Path

    @property
    def words(self) -> tuple[str, ...]:
        """How our command line is told of them."""
        names = ("--file", str(self.project.file), "--project-name", self.project.name)
        return (*names, "--to", f"bench={self.target}")

    def fresh(self) -> None:
        """An empty target, and a host that remembers nothing of it."""
        shutil.rmtree(self.target, ignore_errors=True)
        self.target.mkdir(mode=0o700)
        for pattern in ("*/pool-index.sqlite*", "*/places.json"):
            for kept in self.place.home.stacks.glob(pattern):
                kept.unlink()

    def argv(self, *only: str) -> tuple[str, ...]:
        """`./ops backup`, as words."""
        return ("backup", *self.words, *(word for name in only for word in ("--only", name)), "--json")

    def backup(self, *only: str) -> Run:
        """Our whole command."""
        return self.place.ops(*self.argv(*only)).require()

    def directory(self, volume: str) -> Path:
        """Where a volume of the project lies on this host."""
        name = f"{self.project.name}_{volume}"
        return Path(docker("volume", "inspect", "-f", "{{.Mountpoint}}", name).strip())


@contextmanager
def site(place: Place, name: str, services: dict[str, Any], volumes: tuple[str, ...]) -> Iterator[Site]:
    """A project that runs while the block does.

    Args:
        name: Of the project, which begins with `t-bench-`.
        volumes: Names.
    """
    network = {"default": {"ipam": {"config": [{"subnet": SUBNET}]}}}
    content = {"services": services, "volumes": {key: {} for key in volumes}, "networks": network}
    made = Site(place, written(place.files, name, content), place.files / f"{name}-target")
    remove(made.project)  # what a killed bench left
    try:
        docker(*made.project.compose("up", "-d", "--wait", "--pull", "never")[1:])
        made.fresh()
        yield made
    finally:
        remove(made.project)
        shutil.rmtree(made.target, ignore_errors=True)


def component(run: Run, name: str) -> dict[str, Any]:
    """What a backup's report says of one component."""
    return dict(next(one for one in run.json["components"] if one["component"] == name))

"""Stores in containers of their own, for the tests of the procedures that save them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blocks.engine import Engine
from blocks.polling import poll
from compose.stack.backup.component import Component, Kind, Manner
from compose.stack.backup.manifest import Level
from tasks.backup.procedure import Saving
from tests import images
from tests.fakes.backup_files import MemoryFiles

POSTGRES = "sutazai/postgres:16.14"
REDIS = "sutazai/redis:7.0"
PASSWORD = "canary-of-the-tests-0451"


def need(image: str) -> str:
    """An image that must be here; the test is skipped otherwise."""
    if not images.present(image):
        pytest.skip(f"{image} is not here: ./ops up --until images builds it")
    return image


@contextmanager
def container(image: str, name: str, command: Any = None, **how: Any) -> Iterator[Any]:
    """A container that runs, removed afterwards with its anonymous volumes."""
    engine = Engine.connect()
    for old in engine.client.containers.list(all=True, filters={"name": f"^/{name}$"}):
        old.remove(force=True, v=True)
    made = engine.client.containers.run(need(image), command, detach=True, name=name, **how)
    try:
        made.reload()
        yield made
    finally:
        made.remove(force=True, v=True)


@contextmanager
def postgres(name: str, *, user: str = "boss", database: str = "app", **how: Any) -> Iterator[Any]:
    """A PostgreSQL server with another superuser and another database than the usual ones."""
    given = {"POSTGRES_PASSWORD": PASSWORD, "POSTGRES_USER": user, "POSTGRES_DB": database}
    with container(POSTGRES, name, environment={**given, **how.pop("environment", {})}, **how) as made:
        ready = ("psql", "-h", "127.0.0.1", "-d", database, "-U", user, "-c", "SELECT 1")
        good = {"PGPASSWORD": PASSWORD}
        assert poll(lambda: made.exec_run(list(ready), environment=good).exit_code == 0, 60), made.logs().decode()
        yield made


def psql(made: Any, script: str, database: str = "app", user: str = "boss") -> str:
    """What psql prints of a script."""
    words = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", user, "-d", database, "-c", script]
    done = made.exec_run(words)
    assert done.exit_code == 0, done.output.decode()
    return str(done.output.decode().strip())


def saving(
    made: Any, kind: Kind, place: Path, files: MemoryFiles | None = None, *, verify: Level = "none", **options: Any
) -> Saving:
    """What a procedure is given for a container that belongs to no stack."""
    work: Any = SimpleNamespace(engine=Engine.connect(), state=place / "state")
    component = Component(kind.value, kind, Manner.ONLINE, container=made.id, options=options)
    stopping: Any = None
    return Saving(work, component, files or MemoryFiles(), stopping, place, verify)


def processes(made: Any) -> list[str]:
    """The command lines of what runs in a container."""
    return [" ".join(line[7:]) for line in made.top()["Processes"]]

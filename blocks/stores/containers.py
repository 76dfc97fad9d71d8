"""What a store's container tells: its environment, its command, secrets that it reads from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from blocks.container_files import Files
from blocks.credentials import secret
from blocks.engine import GONE, Engine, talking
from compose.stack.backup.component import Place
from compose.stack.backup.facts import parse_found
from compose.stack.errors import Failed
from compose.stack.observed import Container, parse_container

QUICK = 10.0


@dataclass(frozen=True)
class Asked:
    """A container that is asked.

    Args:
        container: As it is now.
        mounts: Its volumes and bind mounts.
    """

    engine: Engine
    container: Container
    mounts: tuple[Place, ...] = ()

    @property
    def id(self) -> str:
        """The container's id."""
        return self.container.id

    @property
    def environment(self) -> Mapping[str, str]:
        """Its variables."""
        return self.container.environment

    @property
    def command(self) -> tuple[str, ...]:
        """Everything that it was started with, entry point included."""
        return self.container.command

    def value(self, *keys: str) -> str | None:
        """The first of these variables that it has, or what the file says that `KEY_FILE` names."""
        return secret(self.container, self.text, *keys)

    def text(self, path: str) -> str | None:
        """A small file of it; None when it is not there."""
        code, output = self.engine.run_in(self.id, ("cat", path), QUICK)
        if code == 0:
            return output
        with talking():
            return Files(self.engine.client.api, self.id).text(path)


def ask_container(engine: Engine, identity: str) -> Asked:
    """A container that runs.

    Raises:
        Failed: It is gone or does not run.
    """
    with talking():
        try:
            raw: Mapping[str, Any] = engine.client.api.inspect_container(identity)
        except GONE:
            raise Failed("the container is gone", where=identity[:12], next="./ops status") from None
    container = parse_container(raw)
    if not container.running:
        raise Failed(f"does not run ({container.state})", where=container.name, next="./ops deploy")
    found = parse_found(raw, ())
    return Asked(engine, container, found.mounts if found else ())

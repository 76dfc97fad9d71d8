"""A container beside a stopped one: same image, same mounts, one command; removed whatever happens."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker.errors

from blocks.engine import Engine, talking
from blocks.stores.scratch import holder_label

LOOK_EVERY = 0.1
PREFIX = "t-one-off-"
LINES = 60


@dataclass(frozen=True)
class OneOff:
    """What to run.

    Args:
        image: Its exact id.
        mounts: Volume's name or host path, by path inside, with `:ro` where it must not be written.
        environment: Goes through the engine's interface, never into a command line.
        user: As the stopped container has it; empty for the image's own.
    """

    image: str
    argv: tuple[str, ...]
    mounts: Mapping[str, str] = field(default_factory=dict)
    environment: Sequence[str] = field(default=(), repr=False)
    user: str = ""


@dataclass
class Running:
    """A one-off at work; `kill` may be called from any thread."""

    engine: Engine
    id: str

    def kill(self) -> None:
        """End it at once and take it away."""
        with suppress(docker.errors.APIError):
            self.engine.client.api.remove_container(self.id, v=True, force=True)


def beside(
    raw: Mapping[str, Any], argv: tuple[str, ...], more: Mapping[str, str], without: Sequence[str]
) -> OneOff:
    """A one-off with everything that a container has mounted.

    Args:
        raw: As `docker inspect` gives the container.
        more: Further mounts.
        without: Variables that it does not get.
    """
    mounts = {
        str(m["Destination"]): f"{m.get('Name') or m['Source']}{'' if m.get('RW', True) else ':ro'}"
        for m in raw.get("Mounts") or ()
        if m.get("Type") in ("volume", "bind")
    }
    config = raw.get("Config") or {}
    environment = [one for one in config.get("Env") or () if one.partition("=")[0] not in without]
    return OneOff(str(raw["Image"]), argv, {**mounts, **more}, environment, str(config.get("User") or ""))


def run(
    engine: Engine, wanted: OneOff, check: Callable[[], None], began: Callable[[Running], None] = lambda _: None
) -> tuple[int, str]:
    """Run it to its end; its exit code and the last lines that it printed.

    Args:
        check: Asked several times a second; raises to give up.
        began: Told as soon as there is something to kill.
    """
    api = engine.client.api
    with talking():
        made = api.create_container(
            wanted.image,
            command=list(wanted.argv),
            name=f"{PREFIX}{secrets.token_hex(6)}",
            labels=holder_label(),
            environment=list(wanted.environment),
            user=wanted.user or None,
            host_config=api.create_host_config(
                binds=[_bind(source, inside) for inside, source in wanted.mounts.items()],
                network_mode="none",
                security_opt=["no-new-privileges:true"] if wanted.user else None,
                cap_drop=["ALL"] if wanted.user else None,
            ),
        )["Id"]
    one = Running(engine, made)
    try:
        began(one)
        with talking():
            api.start(made)
        while True:
            check()
            with talking():
                state = api.inspect_container(made)["State"]
            if state["Status"] in ("exited", "dead"):
                return int(state["ExitCode"]), engine.logs(made, LINES)
            time.sleep(LOOK_EVERY)
    finally:
        one.kill()


def _bind(source: str, inside: str) -> str:
    read_only = source.endswith(":ro")
    return f"{source.removesuffix(':ro')}:{inside}{':ro' if read_only else ''}"


def open_directory(path: Path) -> Path:
    """A new directory that a container's user may write, inside one that only we may enter."""
    path.mkdir(mode=0o700)
    path.chmod(0o1777)
    return path

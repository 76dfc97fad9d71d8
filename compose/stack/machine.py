"""What a machine is and whether its Docker engine is new enough: decisions on text that others read."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from compose.stack.errors import Refused

OLDEST_ENGINE = (25, 0)
"""Health checks know `start_interval` since Engine 25."""

OLDEST_COMPOSE = (2, 24)
"""`config` keeps service extensions in YAML, and `!reset` works, since Compose 2.24."""

DOCKER_VERSION = ("docker", "version", "--format", "{{.Server.Version}}")
COMPOSE_VERSION = ("docker", "compose", "version", "--short")


@dataclass(frozen=True)
class Distribution:
    """A Linux distribution as /etc/os-release names it.

    Args:
        id: Lower-case name, `debian` or `ubuntu` among them.
        version: `12`, `24.04`, or empty for a rolling one.
        codename: `bookworm`, `noble`, or empty.
        like: The distributions it calls itself similar to.
    """

    id: str
    version: str = ""
    codename: str = ""
    like: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.id} {self.version}".strip()


def distribution(os_release: str) -> Distribution:
    """Read the text of /etc/os-release (freedesktop's os-release(5))."""
    values: dict[str, str] = {}
    for line in os_release.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            words = shlex.split(value)
            values[name] = words[0] if words else ""
    return Distribution(
        id=values.get("ID", "linux"),
        version=values.get("VERSION_ID", ""),
        codename=values.get("VERSION_CODENAME", ""),
        like=tuple(values.get("ID_LIKE", "").split()),
    )


def version_of(text: str) -> tuple[int, ...]:
    """The numbers a version starts with: `v2.26.1-4` is (2, 26, 1), `26.1.5+dfsg1` is (26, 1, 5)."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", text.strip())
    return tuple(int(part) for part in found.group(1).split(".")) if found else ()


def require_versions(engine: str, compose: str) -> None:
    """Refuse an engine or a Compose that is too old, both at once.

    Args:
        engine: What the engine says of itself, `26.1.5+dfsg1`.
        compose: What the Compose plugin says, empty when there is none.
    """
    problems = []
    if version_of(engine) < OLDEST_ENGINE:
        problems.append(f"Docker Engine {engine or 'unknown'} is too old, {_dotted(OLDEST_ENGINE)} is needed")
    if not compose:
        problems.append("the Docker Compose plugin is missing")
    elif version_of(compose) < OLDEST_COMPOSE:
        problems.append(f"Docker Compose {compose} is too old, {_dotted(OLDEST_COMPOSE)} is needed")
    if problems:
        raise Refused(
            "; ".join(problems),
            where="engine",
            next="upgrade Docker where it was installed from (it is left as it is), "
            "or point DOCKER_HOST at a newer engine",
        )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(part) for part in version)


@dataclass(frozen=True)
class EngineFacts:
    """What was seen of Docker on this machine.

    Args:
        client: A `docker` command is in PATH.
        daemon: A `dockerd` command is in PATH.
        engine: Version of the engine that answered, empty when none did.
        compose: Version of the Compose plugin, empty when there is none.
        remote: The engine is elsewhere (DOCKER_HOST or a context names it), so none is started here.
        root: We may install and start one.
        why: What the client said when no engine answered.
    """

    client: bool
    daemon: bool
    engine: str = ""
    compose: str = ""
    remote: str = ""
    root: bool = False
    why: str = ""


def engine_action(facts: EngineFacts, machine: Distribution) -> str:
    """Decide what has to happen to the engine: `use`, `start` or `install`; refuse what we may not do."""
    if facts.engine:
        require_versions(facts.engine, facts.compose)
        return "use"
    if facts.remote:
        raise Refused(
            f"no engine answers at {facts.remote}" + (f" ({facts.why})" if facts.why else ""),
            where="engine",
            next="start it there, or unset DOCKER_HOST and DOCKER_CONTEXT to use this machine's own",
        )
    if "permission denied" in facts.why.lower():
        raise Refused(
            "an engine is running, but this user may not talk to it",
            where="engine",
            next="sudo usermod -aG docker $USER, log in again, then ./ops up",
        )
    wanted = "start" if facts.daemon else "install"
    if not facts.root:
        raise Refused(_without_root(wanted), where="engine", next="sudo ./ops up, or ask an administrator for it")
    if wanted == "install" and machine.id not in ("debian", "ubuntu"):
        raise Refused(
            f"no Docker engine, and how to install one on {machine} is not known here",
            where="engine",
            next="install Docker Engine 25 or newer with its Compose plugin, then ./ops up",
        )
    return wanted


def _without_root(wanted: str) -> str:
    if wanted == "start":
        return "Docker is installed but its engine does not run, and only root can start it"
    return "there is no Docker engine, and only root can install one"

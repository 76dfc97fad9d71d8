"""What was stopped for a copy, written down before the first stop, so that a dead run's services come back."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

SCHEMA = 1


@dataclass(frozen=True)
class Holder:
    """The process that has to start again what it stopped.

    Args:
        pid: Its process id.
        started: Its start in clock ticks since boot: tells a reused pid from it.
        boot: The boot that it belongs to.
    """

    pid: int
    started: int
    boot: str

    def lives(self, boot: str, started: int | None) -> bool:
        """Whether it is still there.

        Args:
            boot: The boot that this machine is in.
            started: Start of the process that has its pid now; None when there is none.
        """
        return self.boot == boot and self.started == started


@dataclass(frozen=True)
class StoppedContainer:
    """One container that ran before."""

    id: str
    name: str
    service: str


@dataclass(frozen=True)
class StopEntry:
    """One stop.

    Args:
        id: Unique, safe as a file name.
        engine: The engine's id.
        containers: In the order in which they are started again.
        at: When, RFC 3339.
        limit: Seconds that it may last.
        given_up: The holder could not start them again itself: whoever watches does, while the holder lives too.
    """

    id: str
    project: str
    engine: str
    containers: tuple[StoppedContainer, ...]
    holder: Holder
    at: str
    limit: float
    why: str = ""
    given_up: bool = False

    def to_json(self) -> str:
        """Its text in the journal."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n"


def parse_entry(text: str) -> StopEntry:
    """Read an entry.

    Raises:
        ValueError: It is none.
    """
    try:
        body: dict[str, Any] = json.loads(text)
        if body.pop("schema") != SCHEMA:
            raise ValueError("of another schema")
        containers = tuple(StoppedContainer(**one) for one in body.pop("containers"))
        return StopEntry(**{**body, "containers": containers, "holder": Holder(**body.pop("holder"))})
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no entry of the journal of stops: {error}") from None


def to_start(entry: StopEntry, living: Iterable[StopEntry]) -> tuple[StoppedContainer, ...]:
    """What has to be started for a dead holder: not what somebody who lives keeps stopped.

    Args:
        living: Entries whose holders live.
    """
    kept = {container.id for other in living for container in other.containers}
    return tuple(container for container in entry.containers if container.id not in kept)

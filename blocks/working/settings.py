"""Section 5.2: the settings that the file promises, read back from the running service."""

from __future__ import annotations

from blocks.working import postgres, redis_store
from blocks.working.scene import Broken, Proof, Scene
from compose.stack.observed import Container
from compose.stack.round_trips import PostgresTrip, RedisTrip, Trip
from compose.stack.tuning import Setting, differences


def read_back(settings: tuple[Setting, ...], trip: Trip, container: Container, scene: Scene) -> list[Proof]:
    """Ask the service for its settings (SHOW, CONFIG GET), or the engine for its environment.

    Raises:
        Broken: One differs from what the file says.
    """
    names = [setting.name for setting in settings]
    match trip:
        case PostgresTrip():
            with postgres.connected(trip, container, scene) as connection:
                found = {name: postgres.show(connection, name) for name in names}
        case RedisTrip():
            with redis_store.connected(trip, container, scene) as client:
                found = {name: str(client.config_get(name).get(name, "")) for name in names}
        case _:
            found = {name: container.environment.get(name, "") for name in names}
    wrong = differences(settings, found)
    if wrong:
        raise Broken("; ".join(wrong))
    return [Proof(", ".join(names), ", ".join(f"{s.name} {s.wanted}" for s in settings) + ", as the file says")]

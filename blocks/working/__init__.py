"""Round trips that prove a service does what it is for, each leaving nothing behind."""

from __future__ import annotations

import time
from collections.abc import Callable

from blocks.working import backend, chroma, command, coordinator, ollama, postgres, redis_store, settings, web
from blocks.working.scene import Broken, NotProven, Proof, Scene
from compose.stack.errors import OpsError
from compose.stack.observed import Container
from compose.stack.round_trips import (
    BackendTrip,
    ChromaTrip,
    CoordinatorTrip,
    ExecTrip,
    FrontendTrip,
    HttpTrip,
    NoTrip,
    OllamaTrip,
    PostgresTrip,
    RedisTrip,
    Trip,
)
from compose.stack.tuning import promised
from compose.stack.verdicts import Finding, Level, Mark

__all__ = ["Broken", "NotProven", "Proof", "Scene", "prove"]


def prove(trip: Trip, container: Container, scene: Scene) -> list[Finding]:
    """Make one service do what it is for, and read its promised settings back.

    Args:
        trip: What to do.
        container: The container to ask.
        scene: What else is known of the stack.
    """
    findings = _timed(str(trip), container, lambda: _go(trip, container, scene))
    wanted = promised(scene.stack[container.service], trip.settings)
    if wanted and all(finding.mark is not Mark.FAILED for finding in findings):
        names = ", ".join(setting.name for setting in wanted)
        findings += _timed(names, container, lambda: settings.read_back(wanted, trip, container, scene))
    return findings


def _go(trip: Trip, container: Container, scene: Scene) -> list[Proof]:
    match trip:
        case PostgresTrip():
            return postgres.round_trip(trip, container, scene)
        case RedisTrip():
            return redis_store.round_trip(trip, container, scene)
        case ChromaTrip():
            return chroma.round_trip(trip, container)
        case OllamaTrip():
            return ollama.round_trip(trip, container, scene)
        case BackendTrip():
            return backend.round_trip(trip, container, scene)
        case CoordinatorTrip():
            return coordinator.round_trip(trip, container, scene)
        case FrontendTrip():
            return web.frontend(trip, container, scene)
        case HttpTrip():
            return web.paths(trip, container)
        case ExecTrip():
            return command.round_trip(trip, container, scene)
        case NoTrip():
            return []


def _timed(check: str, container: Container, work: Callable[[], list[Proof]]) -> list[Finding]:
    began = time.monotonic()
    try:
        proofs = work()
    except NotProven as error:
        proofs = [Proof(check, str(error), Mark.NOT_PROVEN)]
    except Broken as error:
        proofs = [Proof(check, str(error), Mark.FAILED)]
    except OpsError as error:
        proofs = [Proof(check, error.what, Mark.FAILED)]
    seconds = time.monotonic() - began
    return [Finding(container.service, Level.WORKING, p.mark, p.check or check, p.detail, seconds) for p in proofs]

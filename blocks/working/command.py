"""A command of the author's own, run inside the container."""

from __future__ import annotations

from blocks.working.scene import Broken, Proof, Scene
from compose.stack.observed import Container
from compose.stack.round_trips import ExecTrip


def round_trip(trip: ExecTrip, container: Container, scene: Scene) -> list[Proof]:
    """Run it; exit code 0 passes.

    Raises:
        Broken: Any other exit code.
    """
    code, output = scene.run(container.id, trip.argv, trip.within)
    said = " ".join(output.split())[-160:]
    if code:
        raise Broken(f"exit code {code}" + (f": {said}" if said else ""))
    return [Proof(str(trip), said or "exit code 0")]

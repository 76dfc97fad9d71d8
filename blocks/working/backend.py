"""The backend: its health report, compared with what we see ourselves."""

from __future__ import annotations

from typing import Any

import httpx

from blocks.working.scene import Broken, Proof, Scene, call, place_of
from compose.stack.observed import Container
from compose.stack.roles import role_of
from compose.stack.round_trips import REPORTED, BackendTrip, reported_services
from compose.stack.verdicts import Mark

UP = ("up", "healthy", "ok", "connected", "ready", "true")


def round_trip(trip: BackendTrip, container: Container, scene: Scene) -> list[Proof]:
    """Compare the report with our own findings, dependency by dependency.

    Raises:
        Broken: It says another thing than we see, leaves a dependency out, or something is down.
    """
    response = call("GET", f"http://{place_of(container, trip.port)}{trip.path}", trip.within)
    report = statuses(response)
    if not report:
        raise Broken(f"{trip.path} answered {response.status_code} and reports no services")
    means = reported_services(scene.stack, trip, report)
    problems = [text for name in report if (text := _compare(name, report[name], means[name], scene))]
    problems += [f"does not report {name}" for name in _left_out(container.service, means, scene)]
    problems += _status(response.status_code, report)
    if problems:
        raise Broken("; ".join(problems))
    return [Proof(str(trip), f"reports {', '.join(report)} as up, and so do we see them")]


def statuses(response: httpx.Response) -> dict[str, tuple[bool, str]]:
    """Each service of a health report (section 6.1): whether it is up, and what is said of it."""
    try:
        said = response.json()
    except ValueError:
        return {}
    services = said.get("services") if isinstance(said, dict) else None
    if not isinstance(services, dict):
        return {}
    return {str(name): _reading(entry) for name, entry in services.items()}


def _reading(entry: Any) -> tuple[bool, str]:
    if isinstance(entry, dict):
        return str(entry.get("status", "")).lower() in UP, str(entry.get("detail") or entry.get("error") or "")
    return str(entry).lower() in UP, str(entry)


def down(response: httpx.Response) -> str:
    """What a health report says is down, in words; empty when it says nothing."""
    bad = [name for name, (up, _) in statuses(response).items() if not up]
    return f"reports as down: {', '.join(bad)}" if bad else ""


def _compare(name: str, reading: tuple[bool, str], service: str | None, scene: Scene) -> str:
    up, detail = reading
    seen = scene.seen.get(service or "")
    if up and seen is Mark.FAILED:
        return f"reports {name} as up, but {service} failed our own check"
    if up:
        return ""
    told = f"reports {name} as down" + (f" ({detail[:80]})" if detail else "")
    if seen is Mark.FAILED:
        return f"{told}, and so do we see it"
    return f"{told}, but we see {service} up" if seen is Mark.PASSED else told


def _left_out(own: str, means: dict[str, str | None], scene: Scene) -> list[str]:
    """The known stores that the service depends on and its report does not mention."""
    known = set(REPORTED.values())
    needs = [edge.service for edge in scene.stack[own].depends]
    told = set(means.values())
    return [n for n in needs if n in scene.stack.services and role_of(scene.stack[n]) in known and n not in told]


def _status(code: int, report: dict[str, tuple[bool, str]]) -> list[str]:
    healthy = all(up for up, _ in report.values())
    if healthy and code != 200:
        return [f"answers {code} although it reports everything as up"]
    return [f"answers {code} although it reports something as down"] if not healthy and code < 400 else []

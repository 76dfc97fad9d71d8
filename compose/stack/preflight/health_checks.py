"""Health checks that prove nothing, or that others wait for in vain; one-shots that never end."""

from __future__ import annotations

from collections.abc import Iterator

from compose.stack.inference import is_oneshot
from compose.stack.preflight.findings import Finding
from compose.stack.preflight.shell_words import always_passes
from compose.stack.service import Stack


def check_health(stack: Stack) -> Iterator[Finding]:
    """Health checks as the file declares them."""
    for name, service in stack.services.items():
        check = service.healthcheck
        declared = check is not None and bool(check.test)
        if check and declared and not check.disabled:
            why = always_passes(check.test)
            if why:
                yield Finding("fake-healthcheck", f"the health check proves nothing: {why}", name,
                              "healthcheck.test")  # fmt: skip
        elif not is_oneshot(stack, name) and service.hints.probe is None:
            what = "the health check is disabled" if check and check.disabled else "no health check in the file"
            yield Finding("no-healthcheck", what, name, "healthcheck")
        if check and check.disabled:
            yield from _waited_for(stack, name, "is disabled")


def waiting(stack: Stack, name: str) -> tuple[str, ...]:
    """The services that wait until one is healthy."""
    return tuple(
        other.name
        for other in stack.services.values()
        for edge in other.depends
        if edge.service == name and edge.condition == "service_healthy"
    )


def _waited_for(stack: Stack, name: str, why: str) -> Iterator[Finding]:
    others = waiting(stack, name)
    if others:
        what = f"{', '.join(others)} wait for it to be healthy, but its health check {why}"
        yield Finding("healthcheck-waited-missing", what, name, "healthcheck", also=others)


def check_oneshots(stack: Stack) -> Iterator[Finding]:
    """One-shots that are restarted whenever they end, so that nobody ever sees them done."""
    for name, service in stack.services.items():
        restart = str(service.raw.get("restart") or "")
        policy = (service.raw.get("deploy") or {}).get("restart_policy") or {}
        condition = str(policy.get("condition") or "") if not restart else ""
        if is_oneshot(stack, name) and (restart in {"always", "unless-stopped"} or condition == "any"):
            key = "restart" if restart else "deploy.restart_policy"
            what = f"others wait until it has completed, but it has restart: {restart or condition}"
            yield Finding("oneshot-restarts", what, name, key)

"""What a deployment will do, and why: wanted against observed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from compose.stack.graph import graph_of, start_order
from compose.stack.inference import ended_well, is_oneshot, readiness_of
from compose.stack.observed import Container, Observed
from compose.stack.phases import Phase, phase_of
from compose.stack.probes import Readiness
from compose.stack.roles import role_of
from compose.stack.service import Service, Stack


class Action(StrEnum):
    """What happens to one service."""

    CREATE = "create"
    RECREATE = "recreate"
    RESTART = "restart"
    START = "start"
    RUN_AGAIN = "run again"
    UNCHANGED = "unchanged"
    REMOVE = "remove"
    DONE = "done"
    NONE = "none"


TOUCHING = {Action.RECREATE, Action.RESTART}
MAKING = {Action.CREATE, Action.RECREATE}
RENEWING = {*MAKING, Action.RESTART, Action.START, Action.RUN_AGAIN}
"""After these a service's containers have other namespaces than before."""


@dataclass(frozen=True)
class Step:
    """One service's part of a plan.

    Args:
        reasons: Why, for people.
        volumes: Names of the volumes that its containers mount.
        downtime: Expected seconds without this service, from earlier runs; None when never measured.
        force: Compose has to be told to recreate although its own hash says unchanged.
    """

    service: str
    action: Action
    reasons: tuple[str, ...]
    phase: Phase
    readiness: Readiness
    volumes: tuple[str, ...] = ()
    downtime: float | None = None
    force: bool = False
    by_compose: bool = False


@dataclass(frozen=True)
class Evidence:
    """Everything that a plan is decided from.

    Args:
        hashes: Compose's configuration hash of each service, wanted.
        images: Id of each service's image, None where it is not here yet.
        dry_run: What the installed Compose says it would do, by service; None when it could not be asked.
        changed_files: Mounted configuration files whose content changed, by service; `configs.NAME` and
            `secrets.NAME` for content that the file or the environment gives.
        previous: Each service as the last release knew it, secrets hashed.
        wanted: Each service as wanted now, secrets hashed.
        seconds: Expected time from start to ready, by service, from earlier runs.
    """

    hashes: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str | None] = field(default_factory=dict)
    dry_run: Mapping[str, str] | None = None
    changed_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    previous: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    wanted: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The decisions for a whole stack.

    Args:
        steps: One for each service that is in scope, dependencies first.
        orphans: Containers of this project that the file does not know; named, never removed unasked.
        images: References that have to be got first, by service.
    """

    steps: tuple[Step, ...]
    orphans: tuple[str, ...] = ()
    images: Mapping[str, str] = field(default_factory=dict)

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that do something."""
        return tuple(s for s in self.steps if s.action not in {Action.UNCHANGED, Action.DONE, Action.NONE})

    def step(self, service: str) -> Step:
        """The step of one service."""
        return next(step for step in self.steps if step.service == service)

    @property
    def nothing_to_do(self) -> bool:
        """True when every service is as wanted."""
        return not self.changes


def decide(stack: Stack, observed: Observed, evidence: Evidence, scope: Iterable[str] | None = None) -> Plan:
    """Compare what is wanted with what is there.

    Args:
        stack: Wanted.
        observed: The project's containers.
        evidence: What else is known.
        scope: Services to look at; all by default. Those that run in the namespaces of one that gets new ones
            follow it in any case: they would stay in dead ones.
    """
    names = [name for name in start_order(graph_of(stack)) if scope is None or name in set(scope)]
    steps = _with_sharers(
        stack, observed, evidence, [_step(stack, stack[name], observed.of(name), evidence) for name in names]
    )
    known = set(stack.services)
    orphans = tuple(c.name for c in observed.containers if c.service not in known)
    missing = {
        step.service: stack[step.service].image for step in steps
        if step.action not in {Action.REMOVE, Action.NONE, Action.RESTART}
        and evidence.images.get(step.service) is None
    }  # fmt: skip
    return Plan(tuple(steps), orphans, missing)


def _step(stack: Stack, service: Service, containers: tuple[Container, ...], evidence: Evidence) -> Step:
    action, reasons, force = _decision(stack, service, containers, evidence)
    return Step(
        service=service.name,
        action=action,
        reasons=reasons,
        phase=phase_of(service, role_of(service)),
        readiness=readiness_of(stack, service.name),
        volumes=tuple(m.source or f"anonymous:{m.target}" for m in service.mounts if m.kind == "volume"),
        downtime=evidence.seconds.get(service.name) if action in TOUCHING else None,
        force=force,
        by_compose=needs_compose_start(stack, service),
    )


def _with_sharers(stack: Stack, observed: Observed, evidence: Evidence, steps: Iterable[Step]) -> list[Step]:
    """The steps, with those of services whose namespaces a new container or a new start of another takes away."""
    made = {step.service: step for step in steps}
    order = start_order(graph_of(stack))
    for name in order:
        there = observed.of(name)
        hosts = [made[host] for host in stack[name].shares_with if host in made and made[host].action in RENEWING]
        followed = _follow(hosts, there, made.get(name))
        if followed:
            action, reason = followed
            step = made.get(name) or _step(stack, stack[name], there, evidence)
            downtime = evidence.seconds.get(name)
            made[name] = replace(step, action=action, reasons=(reason,), force=False, downtime=downtime)
    return [made[name] for name in order if name in made]


def _follow(hosts: Sequence[Step], there: Sequence[Container], own: Step | None) -> tuple[Action, str] | None:
    """What becomes of a service whose namespaces' owners are touched; None where its own step does as much."""
    if not hosts or not there or (own and own.action in {Action.NONE, Action.DONE, *MAKING}):
        return None
    maker = next((host for host in hosts if host.action in MAKING), None)
    if maker:
        return Action.RECREATE, f"it lives in the namespaces of {maker.service}, which gets a new container"
    idle = not any(container.running for container in there)
    if idle or (own and own.action is not Action.UNCHANGED):
        return None
    return Action.RESTART, f"it lives in the namespaces of {hosts[0].service}, which starts anew"


def _decision(
    stack: Stack, service: Service, containers: tuple[Container, ...], evidence: Evidence
) -> tuple[Action, tuple[str, ...], bool]:
    if service.replicas == 0:
        action = Action.REMOVE if containers else Action.NONE
        return action, ("it is scaled to zero",), False
    if not containers:
        return Action.CREATE, ("no container yet",), False
    if _must_recreate(service, containers, evidence):
        reasons = _why_recreate(service, containers, evidence)
        return Action.RECREATE, reasons, _has_to_force(service, containers, evidence)
    if len(containers) != service.replicas:
        return Action.CREATE, (f"{len(containers)} of {service.replicas} containers",), False
    files = evidence.changed_files.get(service.name, ())
    injected = [name for name in files if not name.startswith("/")]
    if injected:
        what = tuple(f"{name} changed, and Compose puts it only into a new container" for name in injected)
        return Action.RECREATE, what, True
    if files and any(c.was_started for c in containers):
        return Action.RESTART, tuple(f"mounted file changed: {path}" for path in files), False
    action, reason = _by_state(stack, service, containers)
    return action, (reason,), False


def _must_recreate(service: Service, containers: tuple[Container, ...], evidence: Evidence) -> bool:
    image = evidence.images.get(service.name)
    if image is None:
        return True
    if evidence.dry_run is not None and service.name in evidence.dry_run:
        return evidence.dry_run[service.name] == "recreate"  # the installed Compose decides
    return not _same_hash(service, containers, evidence) or any(c.image_id != image for c in containers)


def _same_hash(service: Service, containers: tuple[Container, ...], evidence: Evidence) -> bool:
    wanted = evidence.hashes.get(service.name)
    # the label of a service in another's namespace covers that container's id: the file's hash never equals it
    return bool(service.shares_with) or all(c.config_hash == wanted for c in containers)


def _has_to_force(service: Service, containers: tuple[Container, ...], evidence: Evidence) -> bool:
    """True unless some of its containers are replaced already (by a run that died), and Compose finds the others.

    `config --hash` leaves env files out, so a hash that differs does not prove that Compose sees a change too.
    """
    if service.shares_with:
        return True
    return len({c.config_hash == evidence.hashes.get(service.name) for c in containers}) == 1


def _why_recreate(service: Service, containers: tuple[Container, ...], evidence: Evidence) -> tuple[str, ...]:
    reasons = [f"{key} changed" for key in changed_keys(service.name, containers, evidence) if key != "image"]
    image = evidence.images.get(service.name)
    if image is None:
        reasons.append(f"its image has to be got first: {service.image}")
    elif any(c.image_id != image for c in containers):
        reasons.append(f"{service.image} is another image now")
    before = [d.service for d in service.depends if (evidence.dry_run or {}).get(d.service) == "recreate"]
    if not reasons and before:
        reasons.append(f"Compose recreates it with {', '.join(before)}, which it depends on")
    elif not reasons and _same_hash(service, containers, evidence):
        reasons.append("a service that it depends on is recreated")
    return tuple(reasons) or ("its configuration differs; it was created elsewhere, so the keys are unknown",)


def _by_state(stack: Stack, service: Service, containers: tuple[Container, ...]) -> tuple[Action, str]:
    stopped = [c for c in containers if not c.running]
    oneshot = is_oneshot(stack, service.name)
    if not stopped:
        return Action.UNCHANGED, "it is still at work" if oneshot else "same configuration and image, running"
    if not all(c.was_started for c in stopped):
        return Action.START, "it has not been started yet"
    failed = [c for c in stopped if c.exit_code != 0 or c.state != "exited"]
    if oneshot and failed:
        return Action.RUN_AGAIN, f"it failed before, with exit code {failed[0].exit_code}"
    if service.hints.oneshot == "always":
        return Action.RUN_AGAIN, "x-ops.oneshot: always"
    if oneshot or all(ended_well(stack, service.name, container) for container in stopped):
        return Action.DONE, "it exited 0 under this configuration"
    states = sorted({c.state if c.state != "exited" else f"exited with code {c.exit_code}" for c in stopped})
    return Action.START, f"it is {', '.join(states)}"


def restarts(service: Service) -> bool:
    """True when the file gives it a restart policy."""
    return service.restart_policy in {"always", "unless-stopped", "on-failure"}


def read_dry_run(output: str, observed: Observed) -> dict[str, str]:
    """What the installed Compose would do with each service that has containers.

    Args:
        output: What `docker compose --dry-run up` printed.
        observed: The containers that its lines name.
    """
    services = {container.name: container.service for container in observed.containers}
    verdicts: dict[str, str] = {}
    for name, verb in re.findall(r"Container (\S+)\s+(\w+)\s*$", output, re.MULTILINE):
        service = services.get(name)
        if service and verb in {"Recreate", "Recreated"}:
            verdicts[service] = "recreate"
        elif service:
            verdicts.setdefault(service, "unchanged")
    return verdicts


def changed_keys(name: str, containers: tuple[Container, ...], evidence: Evidence) -> tuple[str, ...]:
    """The keys of a service that differ from the last release, else from its container."""
    before, now = evidence.previous.get(name), evidence.wanted.get(name, {})
    if before is not None:
        return difference(before, now)
    wanted = now.get("environment") or {}
    there = containers[0].environment if containers else {}
    hidden = {key for key, value in wanted.items() if str(value).startswith("secret:")}
    changed = {key for key, value in wanted.items() if key not in hidden and there.get(key) != (value or "")}
    return tuple(f"environment.{key}" for key in sorted(changed))


def difference(before: Any, now: Any, prefix: str = "") -> tuple[str, ...]:
    """The paths at which two structures differ, two levels deep."""
    if isinstance(before, Mapping) and isinstance(now, Mapping) and prefix.count(".") < 2:
        keys = sorted(set(before) | set(now), key=str)
        return tuple(
            path for key in keys for path in difference(before.get(key), now.get(key), f"{prefix}{key}.")
            if not (prefix == "" and str(key) in IGNORED)
        )  # fmt: skip
    return () if before == now else (prefix.rstrip("."),)


IGNORED = {"build", "x-ops", "profiles", "scale", "pull_policy"}


def needs_compose_start(stack: Stack, service: Service) -> bool:
    """True when the engine's own start would lose something: hooks, injected secrets or configs."""
    if service.raw.get("post_start") or service.raw.get("pre_stop") or service.raw.get("pre_start"):
        return True
    for section in ("secrets", "configs"):
        sources = stack.section(section)
        for entry in service.raw.get(section) or ():
            name = entry if isinstance(entry, str) else entry.get("source")
            source = sources.get(str(name), {})
            if source.get("environment") or source.get("content") is not None:
                return True
    return False

"""Data at risk: a database's volume that others write to, secrets that a database took over at its first start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from compose.stack.inference import is_oneshot
from compose.stack.observed import Observed
from compose.stack.preflight.findings import Finding, Findings, judge
from compose.stack.roles import Role, facts, role_of
from compose.stack.service import Mount, Service, Stack

FIRST_START: Mapping[Role, tuple[str, ...]] = {
    Role.POSTGRES: ("POSTGRES_PASSWORD", "POSTGRES_USER", "POSTGRES_DB"),
    Role.NEO4J: ("NEO4J_AUTH",),
    Role.MYSQL: tuple(
        f"{brand}_{what}"
        for brand in ("MYSQL", "MARIADB")
        for what in ("ROOT_PASSWORD", "USER", "PASSWORD", "DATABASE")
    ),
    Role.MONGO: ("MONGO_INITDB_ROOT_USERNAME", "MONGO_INITDB_ROOT_PASSWORD", "MONGO_INITDB_DATABASE"),
    Role.GRAFANA: ("GF_SECURITY_ADMIN_PASSWORD",),
}
"""What each kind of database reads only when its data directory is empty."""

Fingerprints = Mapping[str, Mapping[str, str]]
"""A keyed hash of every first-start value, by service and variable."""


def check_database_volumes(stack: Stack) -> Iterator[Finding]:
    """One database's volume in the hands of another container."""
    owners = {
        mount.source: service.name
        for service in stack.services.values()
        for mount in service.mounts
        if mount.kind in {"volume", "bind"} and mount.source and _holds_data(service, mount)
    }
    for service in stack.services.values():
        for index, mount in enumerate(service.mounts):
            owner = owners.get(mount.source or "")
            if mount.kind not in {"volume", "bind"} or owner is None:
                continue
            yield from _shared(stack, service, f"volumes.{index}", mount, owner)


def _holds_data(service: Service, mount: Mount) -> bool:
    known = facts(role_of(service))
    inside = any(mount.target == path or path.startswith(f"{mount.target.rstrip('/')}/") for path in known.data)
    return known.database and inside and not mount.read_only


def _shared(stack: Stack, service: Service, key: str, mount: Mount, owner: str) -> Iterator[Finding]:
    if service.name == owner:
        if service.replicas > 1:
            what = f"{service.replicas} replicas of a database would write to {mount.source}"
            yield Finding("shared-database-volume", what, service.name, key, next="run one replica")
        return
    what = f"{mount.source} holds the data of {owner} and is mounted here too"
    if mount.read_only or is_oneshot(stack, service.name):
        yield Finding("database-volume-reader", what, service.name, key, also=(owner,))
    else:
        yield Finding("shared-database-volume", f"{what}, read-write", service.name, key, also=(owner,))


def first_start_values(stack: Stack, fingerprint: Callable[[str], str]) -> dict[str, dict[str, str]]:
    """Today's first-start values of every database, hashed; a release records them.

    Args:
        stack: The stack.
        fingerprint: Keyed hash of a value.
    """
    return {
        name: {key: fingerprint(value) for key in keys if (value := service.environment.get(key))}
        for name, service in stack.services.items()
        if (keys := FIRST_START.get(role_of(service)))
    }


def taken_over(stack: Stack, observed: Observed, fingerprint: Callable[[str], str]) -> dict[str, dict[str, str]]:
    """What the databases took over, as the environment of their containers that ran tells.

    Only where the container's data lives on the volume or path that the stack mounts today; otherwise the next
    start is a first one.
    """
    found: dict[str, dict[str, str]] = {}
    for name, service in stack.services.items():
        keys = FIRST_START.get(role_of(service), ())
        for container in observed.of(name):
            if container.was_started and _same_data(stack, service, container.mounts):
                values = {key: container.environment[key] for key in keys if container.environment.get(key)}
                found[name] = {key: fingerprint(value) for key, value in values.items()}
    return found


def _same_data(stack: Stack, service: Service, mounts: Mapping[str, str]) -> bool:
    for mount in service.mounts:
        if not _holds_data(service, mount) or not mount.source:
            continue
        body = stack.section("volumes").get(mount.source) or {}
        real = str(body.get("name") or mount.source) if mount.kind == "volume" else mount.source
        return mounts.get(mount.target) == real
    return False


def first_start_conflicts(stack: Stack, earlier: Fingerprints, fingerprint: Callable[[str], str]) -> Findings:
    """Values that a database took over at its first start and that the stack gives differently today.

    Args:
        stack: The stack as wanted.
        earlier: What was taken over: from `taken_over`, or `first_start_values` of the last release.
        fingerprint: The same keyed hash.
    """
    today = first_start_values(stack, fingerprint)
    items = []
    for name, taken in earlier.items():
        for key, value in taken.items():
            if name in today and key in today[name] and today[name][key] != value:
                what = f"{key} differs from the one that the data of {name} was made with"
                items.append(Finding("first-start-secret", what, name, f"environment.{key}"))
            elif name in today and key not in today[name] and f"{key}_FILE" not in stack[name].environment:
                what = f"{key} is not set any more, but the data of {name} was made with one"
                items.append(Finding("first-start-secret", what, name, f"environment.{key}"))
    return judge(items, own=stack.hints.own)

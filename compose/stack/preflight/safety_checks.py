"""Doors left open: exposed databases, the engine's socket, privileges, images without version."""

from __future__ import annotations

from collections.abc import Iterator

from compose.stack.preflight.findings import Finding
from compose.stack.roles import facts, role_of
from compose.stack.service import Service, Stack

SOCKETS = (
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
)
EVERYWHERE = {"", "0.0.0.0", "::"}


def check_safety(stack: Stack) -> Iterator[Finding]:
    """What a service lets in."""
    yield from _exposed(stack)
    for service in stack.services.values():
        yield from _sockets(service)
        yield from _unpinned(service)
        if service.raw.get("privileged") is True:
            yield Finding("privileged", "runs privileged", service.name, "privileged")


def _exposed(stack: Stack) -> Iterator[Finding]:
    for service in stack.services.values():
        if not facts(role_of(service)).database:
            continue
        for index, entry in enumerate(service.raw.get("ports") or ()):
            if str(entry.get("host_ip") or "") in EVERYWHERE:
                key = f"ports.{index}"
                published = entry.get("published") or "a random port"
                what = f"{role_of(service)} is published on all addresses ({published})"
                yield Finding("database-exposed", what, service.name, key,
                              next=f"127.0.0.1:{entry.get('published') or ''}:{entry.get('target')}")  # fmt: skip


def _sockets(service: Service) -> Iterator[Finding]:
    for index, mount in enumerate(service.mounts):
        if mount.kind == "bind" and mount.source in SOCKETS:
            code = "docker-socket" if mount.read_only else "docker-socket-writable"
            how = "read-only" if mount.read_only else "read-write"
            yield Finding(code, f"{mount.source} is mounted {how}", service.name, f"volumes.{index}")


def _unpinned(service: Service) -> Iterator[Finding]:
    reference = str(service.raw.get("image") or "")
    if not reference or service.builds or "@sha256:" in reference or reference.startswith("sha256:"):
        return
    _, colon, tag = reference.rpartition("/")[2].partition(":")
    if not colon or tag == "latest":
        yield Finding("unpinned-image", f"{reference} names no version", service.name, "image")

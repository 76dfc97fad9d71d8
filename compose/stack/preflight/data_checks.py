"""Volumes that miss the data of their image."""

from __future__ import annotations

from collections.abc import Iterator

from compose.stack.preflight.data_paths import covers, data_paths, keeping
from compose.stack.preflight.findings import Finding
from compose.stack.preflight.images import Image
from compose.stack.roles import Role, facts, role_of
from compose.stack.service import Service


def check_data(service: Service, image: Image) -> Iterator[Finding]:
    """Data that no volume keeps, and volumes that hold something else."""
    role, kept = role_of(service), keeping(service.mounts)
    wanted = data_paths(service, image)
    temporary = [mount.target for mount in service.mounts if mount.kind == "tmpfs"]
    if wanted and not any(covers(mount.target, path) for mount in kept for path in wanted):
        volumes = [mount for mount in kept if mount.kind == "volume"]
        what = f"{role} keeps its data in {' or '.join(wanted)}"
        if volumes:
            where = ", ".join(f"{mount.source} on {mount.target}" for mount in volumes)
            yield Finding("volume-misses-data", f"{what}, but mounts {where}", service.name, "volumes",
                          next=f"mount {volumes[0].source} on {wanted[0]}")  # fmt: skip
        elif (facts(role).database or role is Role.OLLAMA) and not any(covers(t, wanted[0]) for t in temporary):
            yield Finding("data-not-kept", f"{what}, and no volume is mounted there", service.name, "volumes",
                          next=f"mount a named volume on {wanted[0]}")  # fmt: skip
    if not wanted:
        yield from _uncovered(service, image)


def _uncovered(service: Service, image: Image) -> Iterator[Finding]:
    for path in image.volumes:
        if not any(covers(mount.target, path) or covers(path, mount.target) for mount in service.mounts):
            what = f"{service.image} keeps data in {path}, which would be on a nameless volume"
            yield Finding(
                "image-volume-uncovered", what, service.name, "volumes", next=f"mount a volume on {path}"
            )

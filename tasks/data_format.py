"""Refusing to give a store an image of another major version than its data."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from compose.stack.data_format import VERSION_FILES, conflict, image_major
from compose.stack.errors import Refused
from compose.stack.roles import facts, role_of
from compose.stack.service import Service
from tasks.work import Work


def refuse_other_formats(work: Work, services: Collection[str], images: Mapping[str, str] | None = None) -> None:
    """Compare the data on the volumes with the images that will open it.

    Args:
        services: Services whose containers will be made or started.
        images: Image of each service, where it is another one than the stack's.

    Raises:
        Refused: Every store whose data is of another major version; nothing was touched.
    """
    problems = []
    for name in services:
        service = work.stack.services.get(name)
        if service is None or role_of(service) not in VERSION_FILES:
            continue
        what = _problem(work, service, (images or {}).get(name, service.image))
        if what:
            problems.append(f"{name}: {what}")
    if problems:
        raise Refused(
            "; ".join(problems),
            where=work.found.name,
            next="use an image of the data's version, or migrate the data (dump with the old, load with the new)",
        )


def _problem(work: Work, service: Service, image: str) -> str:
    role = role_of(service)
    inspected = work.engine.image(image)
    volume = _data_volume(work, service)
    if inspected is None or volume is None:
        return ""
    pairs = (entry.partition("=") for entry in (inspected.get("Config") or {}).get("Env") or ())
    told = image_major(role, {key: value for key, _, value in pairs})
    data = work.engine.read_from_volume(str(inspected["Id"]), volume, VERSION_FILES[role]) if told else None
    return conflict(role, data, told)


def _data_volume(work: Work, service: Service) -> str | None:
    """The volume or host path with the store's data, if it exists already."""
    data = facts(role_of(service)).data
    for mount in service.mounts:
        if not mount.source or not any(path.startswith(mount.target.rstrip("/")) for path in data):
            continue
        if mount.kind == "bind":
            return mount.source
        name = str((work.stack.section("volumes").get(mount.source) or {}).get("name") or mount.source)
        return name if work.engine.volume_exists(name) else None
    return None

"""Whether an image can read the data on a volume: the major version must be the same, either way."""

from __future__ import annotations

import re
from collections.abc import Mapping

from compose.stack.roles import Role

VERSION_FILES: Mapping[Role, tuple[str, ...]] = {
    Role.POSTGRES: ("PG_VERSION", "data/PG_VERSION", "pgdata/PG_VERSION"),
}
"""Files that tell the data's major version, below the volume's root."""


def image_major(role: Role, environment: Mapping[str, str]) -> str | None:
    """The major version of an image's server, from its own environment; None when it does not tell."""
    if role is not Role.POSTGRES:
        return None
    told = environment.get("PG_MAJOR") or environment.get("PG_VERSION") or ""
    found = re.match(r"\d+", told)
    return found.group() if found else None


def conflict(role: Role, data: str | None, image: str | None) -> str:
    """What is wrong, in words; empty when the image can read the data, or nothing is known.

    Args:
        data: Major version of the data on the volume.
        image: Major version of the image.
    """
    if not data or not image or data.split(".")[0] == image:
        return ""
    return f"the data on its volume is of {role.value} {data}, the image is {role.value} {image}"

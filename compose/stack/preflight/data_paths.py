"""Where a container keeps its data: told by its variables and options, else known of its role and image."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Mapping

from compose.stack.preflight.images import Image
from compose.stack.roles import Role, facts, role_of
from compose.stack.service import Mount, Service

VARIABLES: Mapping[Role, tuple[str, ...]] = {
    Role.POSTGRES: ("PGDATA",),
    Role.CHROMADB: ("PERSIST_DIRECTORY", "CHROMA_PERSIST_PATH", "CHROMA_PERSIST_DIRECTORY"),
    Role.OLLAMA: ("OLLAMA_MODELS",),
    Role.QDRANT: ("QDRANT__STORAGE__STORAGE_PATH",),
    Role.NEO4J: ("NEO4J_server_directories_data", "NEO4J_dbms_directories_data"),
    Role.GRAFANA: ("GF_PATHS_DATA",),
}
OPTIONS: Mapping[Role, str] = {
    Role.POSTGRES: r"(?:-D|--pgdata)",
    Role.CHROMADB: r"--path",
    Role.REDIS: r"--dir",
    Role.MYSQL: r"--datadir",
    Role.MONGO: r"--dbpath",
    Role.PROMETHEUS: r"--storage\.tsdb\.path",
}


def data_paths(service: Service, image: Image) -> tuple[str, ...]:
    """The paths of which one must be on a volume; empty when nothing is known."""
    role = role_of(service)
    told = _from_option(role, service, image) or _from_variable(role, service, image)
    if told:
        return (told,)
    if role is Role.CHROMADB and re.search(r":v?0\.", service.image):
        return ("/chroma/chroma",)
    if role is Role.OLLAMA:
        home = service.environment.get("HOME") or image.environment.get("HOME") or "/root"
        return (posixpath.join(home, ".ollama"),)
    known = facts(role).data
    inside = tuple(path for path in image.volumes if path)
    if known and inside and not any(covers(one, path) or covers(path, one) for one in inside for path in known):
        return inside
    return known


def _from_variable(role: Role, service: Service, image: Image) -> str:
    for key in VARIABLES.get(role, ()):
        value = service.environment.get(key) or image.environment.get(key)
        if value and value.startswith("/"):
            return posixpath.normpath(value)
    return ""


def _from_option(role: Role, service: Service, image: Image) -> str:
    flag = OPTIONS.get(role)
    if not flag:
        return ""
    entrypoint = service.raw.get("entrypoint") or image.entrypoint
    words = (
        entrypoint.split() if isinstance(entrypoint, str) else [*entrypoint],
        service.command or image.command,
    )
    line = " ".join(str(word) for part in words for word in part)
    found = re.search(rf"(?:^|\s){flag}[ =]['\"]?(/[^\s'\"]+)", line)
    return posixpath.normpath(found[1]) if found else ""


def covers(target: str, path: str) -> bool:
    """Whether a mount on `target` holds `path`."""
    place = posixpath.normpath(target)
    return place in ("/", path) or path.startswith(f"{place}/")


def keeping(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """The mounts that outlive a container: bind mounts and named volumes."""
    return tuple(mount for mount in mounts if mount.kind in {"volume", "bind"} and mount.source)

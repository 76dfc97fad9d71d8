"""Looking at what a backup has to save: containers, their mounts and layers, volumes, host paths, images."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from blocks.backup.volumes import local_path
from blocks.engine import Engine
from blocks.facts import is_local
from blocks.host_paths import bind_of
from compose.stack.backup.component import Place
from compose.stack.backup.facts import Bind, Facts, Found, lies_in_memory, parse_found
from compose.stack.backup.inventory import Inventory, is_hosts_own, take_inventory
from compose.stack.preflight.images import Image, parse_image
from tasks.work import Work

AT_ONCE = 8


def look(work: Work) -> Facts:
    """Everything that decides what is saved; nothing is touched."""
    inspections = work.engine.inspections(work.name)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        changes = pool.map(work.engine.changes, [one["Id"] for one in inspections])
        pairs = zip(inspections, changes, strict=True)
        found = tuple(one for one in (parse_found(raw, diff) for raw, diff in pairs) if one)
        binds = _binds(work.engine, found, pool)
    return Facts(
        found=found,
        volumes={str(v["Name"]): dict(v.get("Labels") or {}) for v in work.engine.volumes(work.name)},
        binds=binds,
        images=_images(work, found),
        in_memory=frozenset(str(one["Name"]) for one in work.engine.volumes() if lies_in_memory(one)),
        prefect=any(work.home.prefect.glob("*.db")),
    )


def inventory(work: Work) -> tuple[Facts, Inventory]:
    """What is there, and how each part of it is saved."""
    facts = look(work)
    return facts, take_inventory(work.stack, facts)


def _binds(engine: Engine, found: tuple[Found, ...], pool: ThreadPoolExecutor) -> Mapping[str, Bind]:
    sources = sorted({mount.source for one in found for mount in one.mounts if mount.kind == "bind"})
    return dict(zip(sources, pool.map(partial(_bind, engine), sources), strict=True))


def _bind(engine: Engine, source: str) -> Bind:
    """What a path is; nothing is there only where the engine, too, would find nothing.

    It may run on another host, or see another root than we do.
    """
    if not is_local(engine):
        return Bind("unseen")
    bind = bind_of(source)
    if not bind.empty or is_hosts_own(source):
        return bind
    there = next(path for path in (Path(source), *Path(source).parents) if path.exists())
    return bind if local_path(engine, Place("bind", str(there))) else Bind("unseen")


def _images(work: Work, found: tuple[Found, ...]) -> Mapping[str, Image]:
    """The image that each service's container was really made of."""
    images = {}
    for one in found:
        if one.service in images:
            continue
        raw = work.engine.image(one.container.image_id)
        if raw:
            images[one.service] = parse_image(one.container.image, raw)
    return images

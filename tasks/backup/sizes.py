"""How much each component holds, before anything of it is read: an upper bound, for the plan and the progress."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from compose.stack.backup.component import Component, Kind
from compose.stack.backup.facts import Facts
from tasks.backup.configuration_files import collect
from tasks.work import Work


def sizes_of(work: Work, facts: Facts, components: Iterable[Component]) -> dict[str, int]:
    """Bytes by component, as the engine and the file system count them."""
    volumes = work.engine.volume_sizes()
    return {component.name: _size(work, facts, component, volumes) for component in components}


def _size(work: Work, facts: Facts, component: Component, volumes: Mapping[str, int | None]) -> int:
    if component.kind is Kind.PREFECT:
        return sum(path.stat().st_size for path in work.home.prefect.glob("*.db"))
    if component.kind is Kind.IMAGES:
        return _images(work, facts)
    if component.kind is Kind.CONFIGURATION:
        found = collect(work, facts)
        return sum(map(len, (*found.clear.values(), *found.secret.values())))
    sources = {place.source for place in component.places}
    return sum(facts.binds[one].bytes if one in facts.binds else (volumes.get(one) or 0) for one in sources)


def _images(work: Work, facts: Facts) -> int:
    """Bytes of the images that no registry gives again."""
    ids = {image.id: work.engine.image(image.id) for image in facts.images.values() if image.id}
    return sum(int(raw.get("Size") or 0) for raw in ids.values() if raw and not raw.get("RepoDigests"))

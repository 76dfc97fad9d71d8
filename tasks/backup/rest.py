"""What lies in an online store's place and is not its own: archived beside what its tool saves."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from glob import escape
from pathlib import Path
from typing import Any

from blocks.backup.volumes import local_path
from blocks.stores.containers import QUICK, ask_container
from blocks.stores.postgres_access import access_of, first_session
from blocks.stores.prometheus import prometheus
from blocks.stores.qdrant import STORAGE
from blocks.stores.redis_server import redis_server
from compose.stack.backup import postgres_sql as sql
from compose.stack.backup.component import Component, Kind, Manner, Place
from compose.stack.backup.configuration import holds_secret
from compose.stack.backup.manifest import FileRecord
from compose.stack.backup.store_files import REST, List, Own, named_secret, strangers, tells_secret
from compose.stack.errors import Failed
from tasks.backup.archives import ArchiveProcedure
from tasks.backup.procedure import Saved, Saving
from tasks.backup.sources import Source
from tasks.work import Work

SETTINGS = ".conf"


@dataclass(frozen=True)
class Rest:
    """What was saved beside a store's own files."""

    files: tuple[FileRecord, ...] = ()
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def save_rest(saving: Saving, but: Sequence[str] = ()) -> Rest:
    """Archive what else lies in a store's places, as it lies there; an archive's name has its place's number.

    Args:
        but: Paths inside the container that are not saved: what we made there ourselves.

    Raises:
        Failed: Nobody can tell what lies there, or it cannot be read.
    """
    component = saving.component
    places = {
        number: place
        for number, place in enumerate(component.places, 1)
        if place.source not in component.leaves and place.service in ("", component.places[0].service)
    }
    if not places:
        return Rest()
    own = own_of(saving.work, component)
    own = replace(own, paths=(*own.paths, *but))
    files, left, notes, found = list[FileRecord](), list[str](), [*own.notes], dict[str, Any]()
    for number, place in places.items():
        sources, secrets = _strangers(saving, place, own)
        left += [f"{component.name}: {path}" for path in secrets]
        if sources:
            stem = REST if number == 1 else f"{REST}-{number}"
            saved = _archived(saving, sources, stem)
            files += saved.files
            notes += saved.notes
            found[stem] = saved.fingerprint
    return Rest(tuple(files), {"beside": found} if found else {}, tuple(left), tuple(notes))


def _archived(saving: Saving, sources: tuple[Source, ...], stem: str) -> Saved:
    live = replace(saving, component=replace(saving.component, manner=Manner.LIVE))
    procedure = ArchiveProcedure(live, find=lambda: sources, stem=stem)
    try:
        procedure.open()
        return procedure.save()
    finally:
        procedure.close()


class RestProcedure(ArchiveProcedure):
    """What others write into an online store's volume: they stand still for the copy, the store does not."""

    def __init__(self, saving: Saving) -> None:
        super().__init__(saving, find=self._find, stem=REST)
        self.left_out: tuple[str, ...] = ()

    def _find(self) -> tuple[Source, ...]:
        component = self.saving.component
        own = own_of(self.saving.work, replace(component, kind=component.without or component.kind))
        sources, self.left_out = _strangers(self.saving, component.places[0], own)
        return sources

    def save(self) -> Saved:
        """See `Procedure`."""
        name = self.saving.component.name
        return replace(super().save(), left_out=tuple(f"{name}: {path}" for path in self.left_out))


def _strangers(saving: Saving, place: Place, own: Own) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """What is archived of a place; and what is left out of it, because nothing encrypts it."""
    engine, component = saving.work.engine, saving.component
    root = local_path(engine, place, component.image)
    names = _listed_here(root, place.target) if root else _listed_inside(saving.work, component.container)
    found = strangers(own, place.target, names)
    secret = () if saving.files.sealed else tuple(path for path in found if _secret(saving, path))
    sources = []
    for path in found:
        below = posixpath.relpath(path, place.target)
        inside = Place("layer", component.container, path, component.container, place.service)
        if path not in secret:
            here = root / below if root and not (root / below).is_symlink() else None  # a link comes as it is
            sources.append(Source(engine, inside, here, image=component.image, below=below))
    return tuple(sources), secret


def _secret(saving: Saving, path: str) -> bool:
    """Whether a file must not lie in clear: by its name, or, for settings, by what it sets."""
    if named_secret(path) or not path.endswith(SETTINGS):
        return named_secret(path)
    text = ask_container(saving.work.engine, saving.component.container).text(path)
    return text is None or tells_secret(text) or holds_secret(text.encode(), saving.work.redactor)


def _listed_here(root: Path, target: str) -> List:
    def names(path: str) -> list[str]:
        place = root / posixpath.relpath(path, target)
        try:
            handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise Failed(f"cannot be read: {error.strerror}", where=str(place)) from error
        try:
            return os.listdir(handle)
        finally:
            os.close(handle)

    return names


def _listed_inside(work: Work, container: str) -> List:
    def names(path: str) -> list[str]:
        argv = ("find", path, "-mindepth", "1", "-maxdepth", "1", "-print0")
        code, said = work.engine.run_in(container, argv, QUICK)
        if code or "�" in said:
            what = f"nobody can tell what else lies in {path}: {said.strip()[:160]}"
            raise Failed(what, where=container[:12], next="save its volume stopped: x-ops.backup.kind: volume")
        return [posixpath.basename(one) for one in said.split("\0") if one]

    return names


def own_of(work: Work, component: Component) -> Own:
    """What a running store says is its own."""
    found = _OWN[component.kind](work, component)
    code, said = work.engine.run_in(component.container, ("readlink", "-f", found.data), QUICK)
    return replace(found, data=said.strip()) if code == 0 and said.startswith("/") else found


def _postgres(work: Work, component: Component) -> Own:
    session = first_session(access_of(work.engine, component.container, component.options))
    try:
        ((data, log, logs),) = session.rows(sql.PLACES, 3)
        spaces = [place for (place,) in session.rows(sql.TABLESPACES)]
    finally:
        session.close()
    notes = (f"the server's log ({log}) is not saved",) if logs == "on" else ()
    return Own(Kind.POSTGRES, data, paths=(posixpath.join(data, log), *spaces), notes=notes)


def _redis(work: Work, component: Component) -> Own:
    server = redis_server(work.engine, component.container, component.options)
    try:
        data, names = server.setting("dir"), [escape(server.setting("dbfilename"))]
        for setting, more in (("appenddirname", ""), ("appendfilename", "*")):
            with suppress(Failed):  # older servers have no directory for it
                names.append(escape(server.setting(setting)) + more)
    finally:
        server.close()
    return Own(Kind.REDIS, data, tuple(names))


def _prometheus(work: Work, component: Component) -> Own:
    return Own(Kind.PROMETHEUS, prometheus(work.engine, component.container, component.options).data)


def _qdrant(work: Work, component: Component) -> Own:
    told = ask_container(work.engine, component.container).environment.get("QDRANT__STORAGE__STORAGE_PATH")
    return Own(Kind.QDRANT, posixpath.join("/qdrant", told) if told else STORAGE)


_OWN: Mapping[Kind, Callable[[Work, Component], Own]] = {
    Kind.POSTGRES: _postgres,
    Kind.REDIS: _redis,
    Kind.PROMETHEUS: _prometheus,
    Kind.QDRANT: _qdrant,
}

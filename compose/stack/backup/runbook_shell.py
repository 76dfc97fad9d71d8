"""Words and commands that the steps of RUNBOOK.md share."""

from __future__ import annotations

import posixpath
import shlex

from compose.stack.backup.layout import plain_path
from compose.stack.backup.manifest import ComponentRecord, FileRecord, Manifest, PlaceRecord
from compose.stack.backup.store_files import rest_number

Step = str | tuple[str, ...]
Q = shlex.quote
UNPACK = "--numeric-owner --xattrs --xattrs-include='*' --same-owner"
"""How archives are unpacked: without the pattern, tar gives back only `user.*` attributes."""


def plain(file: FileRecord) -> str:
    """Where the plain file lies after the backup was opened."""
    return posixpath.join("plain", plain_path(file.path, file.encodings))


def data(place: PlaceRecord) -> tuple[str, ...]:
    """Commands after which `$DATA` is the directory that a place is on this host."""
    if place.kind in ("volume", "anonymous"):
        name = Q(place.source)
        return (
            f"docker volume create {name}",
            f"DATA=$(docker volume inspect -f '{{{{or .Options.device .Mountpoint}}}}' {name})",
            'test -d "$DATA" # not so for NFS and the like: mount it, and name that place',
        )
    return (f"DATA={Q(place.source)}", 'mkdir -p "$DATA"')


def compose(manifest: Manifest, *words: str) -> str:
    """A compose command for the stack's project."""
    return " ".join(("docker compose -p", Q(manifest.project), *words))


def services(component: ComponentRecord) -> str:
    """A component's services as words."""
    return " ".join(Q(name) for name in component.services)


def own_service(component: ComponentRecord) -> str:
    """The service whose container is the store's own, whoever else writes its volume."""
    told = [component.name] if component.name in component.services else []
    return next(iter([*told, *(one.service for one in component.places[:1] if one.service), *component.services]),
                component.name)  # fmt: skip


def stop(component: ComponentRecord, manifest: Manifest) -> tuple[str, ...]:
    """Stop its services."""
    return (compose(manifest, "stop", services(component)),) if component.services else ()


def start(component: ComponentRecord, manifest: Manifest) -> tuple[str, ...]:
    """Start its services."""
    return (compose(manifest, "start", services(component)),) if component.services else ()


def rest(component: ComponentRecord) -> list[Step]:
    """What lay in a store's place and was not its own; its services stand still for it."""
    found: list[Step] = []
    for name in named(component, ".tar"):
        number = rest_number(name)
        if number and number <= len(component.places):
            found += [
                "What lay beside the store's own files, settings of the server too: each where it was. A file that"
                " is there already is kept as `…~`.",
                (
                    *data(component.places[number - 1]),
                    f'tar -xp --backup=simple {UNPACK} -f {Q(name)} -C "$DATA"',
                ),
            ]
    return found


def named(component: ComponentRecord, ending: str) -> list[str]:
    """Its plain files that end so."""
    return [plain(file) for file in component.files if plain(file).endswith(ending)]

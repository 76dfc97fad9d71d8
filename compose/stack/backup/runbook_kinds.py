"""The steps of RUNBOOK.md for each kind of component."""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from compose.stack.backup.component import Kind
from compose.stack.backup.manifest import ComponentRecord, Manifest, PlaceRecord
from compose.stack.backup.runbook_shell import UNPACK, Q, Step, data, named, plain, rest, start, stop
from compose.stack.backup.runbook_stores import neo4j, postgres, qdrant, redis
from compose.stack.backup.store_files import rest_number


def steps(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    """What to do for one component: sentences, and blocks of commands."""
    return _TABLE.get(component.kind, _volume)(component, manifest)


def _volume(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    """Everything that is an archive of its data directory."""
    archives = [name for name in named(component, ".tar") if not rest_number(name)]
    places = component.places if len(component.places) == len(archives) else component.places[:1] * len(archives)
    found: list[Step] = [stop(component, manifest)]
    for name, place in zip(archives, places, strict=False):
        if place.kind == "layer":
            found += _poured(component, name, place, manifest)
        else:
            found += _put_back(name, place) if _is_file(component, place) else _unpacked(name, place)
    others = [plain(f) for f in component.files if not plain(f).endswith((".tar", ".jsonl", ".index"))]
    found += [f"Beside it: `{name.replace('`', chr(39))}`." for name in others]
    if component.pool:
        found += _pool(component, (*data(component.places[0]), *_ASIDE) if component.places else _BESIDE)
    return [*found, *rest(component), start(component, manifest)]


_ASIDE = (
    'mkdir "$DATA".before-restore',
    'find "$DATA" -mindepth 1 -maxdepth 1 -exec mv -t "$DATA".before-restore {} +',
)
"""Commands that keep what is there, and make room."""


def _poured(component: ComponentRecord, name: str, place: PlaceRecord, manifest: Manifest) -> list[Step]:
    """What a container had written outside its volumes."""
    number = component.name.rpartition("-")[2]
    labels = {"project": manifest.project, "service": place.service}
    labels |= {"container-number": number} if number.isdecimal() else {}
    chosen = " ".join(f"--filter {Q(f'label=com.docker.compose.{key}={value}')}" for key, value in labels.items())
    return [
        "Into the container that the service has now.",
        (f'docker cp - "$(docker ps -aq {chosen} | head -n 1)":/ < {Q(name)}',),
    ]


def _unpacked(name: str, place: PlaceRecord) -> list[Step]:
    return [
        "What is there is moved aside, not overwritten.",
        (
            *data(place),
            *_ASIDE,
            f'tar -xp {UNPACK} -f {Q(name)} -C "$DATA"',
        ),
    ]


def _is_file(component: ComponentRecord, place: PlaceRecord) -> bool:
    """Whether a mount is a single file: the archive of a directory has that directory in it."""
    return place.kind == "bind" and component.fingerprint.get("directories") == 0


def _put_back(name: str, place: PlaceRecord) -> list[Step]:
    return [
        "What is there is moved aside, not overwritten.",
        (
            f"FILE={Q(place.source)}",
            'mkdir -p "$(dirname "$FILE")"',
            'if test -e "$FILE"; then mv "$FILE" "$FILE".before-restore; fi',
            f'tar -xp --numeric-owner --xattrs --same-owner -f {Q(name)} -C "$(dirname "$FILE")"',
        ),
    ]


_BESIDE = ("DATA=$PWD/plain/pool-data", 'mkdir -p "$DATA"')


def _pool(component: ComponentRecord, where: tuple[str, ...], last: tuple[str, ...] = ()) -> list[Step]:
    """Files that lie in the pool, each by its line in the listing.

    Args:
        where: Commands that set `$DATA`.
        last: Commands after the files are there.
    """
    if component.pool is None:
        return []
    listing = Q(plain(component.pool.listing))
    return [
        "Its files lie in the pool, `../../pool` from here. (Names with line ends, tabs, backslashes or bytes"
        " that are no UTF-8 need more care.)",
        (
            *where,
            *_each("directory", ".path", "FILE", listing),
            '  mkdir -p "$DATA/$FILE"',
            "done",
            *_each("file", f".path, .blob, .sha256, {_RIGHTS}", "FILE BLOB SUM OWNER GROUP MODE", listing),
            '  mkdir -p "$DATA/$(dirname "$FILE")"',
            '  case "$BLOB" in',
            '    *.zst.age) age -d -i identity.txt "../../pool/$BLOB" | zstd -d -q -c ;;',
            '    *.age) age -d -i identity.txt "../../pool/$BLOB" ;;',
            '    *.zst) zstd -d -q -c < "../../pool/$BLOB" ;;',
            '    *) cat "../../pool/$BLOB" ;;',
            '  esac > "$DATA/$FILE"',
            '  echo "$SUM  $DATA/$FILE" | sha256sum -c --quiet -',
            *_OWNED,
            "done",
            *_each("symlink", ".path, .link, (.uid // 0), (.gid // 0)", "FILE LINK OWNER GROUP", listing),
            '  mkdir -p "$DATA/$(dirname "$FILE")" && ln -sfn "$LINK" "$DATA/$FILE"',
            '  chown -h "$OWNER:$GROUP" "$DATA/$FILE"',
            "done",
            *_each("hardlink", ".path, .link", "FILE LINK", listing),
            '  ln -f "$DATA/$LINK" "$DATA/$FILE"',
            "done",
            *_each("directory", f".path, {_RIGHTS}", "FILE OWNER GROUP MODE", listing),
            *_OWNED,
            "done",
            f"jq -r {Q(_ATTRIBUTES)} {listing} |",
            "while IFS=\"$(printf '\\t')\" read -r FILE NAME VALUE; do",
            '  setfattr -n "$NAME" -v "$VALUE" "$DATA/$FILE"',
            "done",
            *last,
        ),
    ]


_ATTRIBUTES = (
    'def digit: . as $at | "0123456789abcdef"[$at:$at + 1];'
    " select(.xattrs) | .path as $path | .xattrs | to_entries[]"
    ' | [$path, .key, "0x" + (.value | explode | map((. / 16 | floor | digit) + (. % 16 | digit)) | add)] | @tsv'
)
_RIGHTS = "(.uid // 0), (.gid // 0), (.mode // 420)"
_OWNED = ('  chown "$OWNER:$GROUP" "$DATA/$FILE"', '  chmod "$(printf %o "$MODE")" "$DATA/$FILE"')


def _each(kind: str, columns: str, names: str, listing: str) -> tuple[str, str]:
    """The first two lines of a loop over the lines of one kind."""
    table = f"jq -r 'select(.kind == \"{kind}\") | [{columns}] | @tsv' {listing} |"
    return table, f"while IFS=\"$(printf '\\t')\" read -r {names}; do"


def _ollama(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    inside = str(component.fingerprint.get("path") or next((one.target for one in component.places), ""))
    place = next((one for one in component.places if f"{inside}/".startswith(f"{one.target}/")), None)
    below = posixpath.relpath(inside, place.target) if place else "."
    where = (*data(place), *_inner(below)) if place else _BESIDE
    return [
        "The server has to start with `OLLAMA_NOPRUNE=1` the first time, or it removes what it cannot place.",
        stop(component, manifest),
        *_pool(component, where, _lent(below)),
        start(component, manifest),
    ]


def _inner(below: str) -> tuple[str, ...]:
    """Commands that move `$DATA` to a directory in it."""
    return (f'DATA="$DATA"/{Q(below)}', 'mkdir -p "$DATA"') if below != "." else ()


def _lent(below: str) -> tuple[str, ...]:
    """Commands that give the directories on the way there to whoever owns the blobs."""
    depth = 0 if below == "." else below.count("/") + 1
    return tuple(
        f'{what} --reference="$DATA/blobs" "$DATA{"/.." * level}"'
        for level in range(depth)
        for what in ("chown", "chmod")
    )


def _configuration(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    archives = named(component, ".tar")
    look = [f"tar -xp -f {Q(name)} -C restored-configuration" for name in archives]
    back = [f"tar -xp {_BESIDE_WHAT_IS_THERE} -f {Q(name)} -C / --strip-components=1 files" for name in archives]
    left = f" Bring these yourself before you go on: {', '.join(_quoted(manifest.left_out))}." if (
        manifest.left_out
    ) else ""  # fmt: skip
    return [
        "Compose files, `.env` and mounted configuration, below `restored-configuration/files` by their places on"
        " the host. The `.env` belongs to the data of this backup: passwords in it count only together with the"
        " stores' own files.",
        ("mkdir -p restored-configuration", *look),
        f"On a new machine: put them where they were, with owner and mode. What is there already stays.{left}",
        tuple(back),
    ]


_BESIDE_WHAT_IS_THERE = "--numeric-owner --skip-old-files"


def _quoted(names: tuple[str, ...]) -> list[str]:
    return [f"`{name.replace('`', chr(39))}`" for name in names]


def _images(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    loads = tuple(f"docker load -i {Q(name)}" for name in named(component, ".tar"))
    pooled = _pool(component, _BESIDE)
    last: list[Step] = [('find "$DATA" -type f -exec docker load -i {} ";"',)] if pooled else []
    return [loads, *pooled, *last]


def _prefect(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    names = ", ".join(f"`{plain(file)}`" for file in component.files)
    return [f"The database of the Prefect server. Stop it, put {names} in the place of `prefect.db`, start it."]


_TABLE: dict[Kind, Callable[[ComponentRecord, Manifest], list[Step]]] = {
    Kind.POSTGRES: postgres,
    Kind.REDIS: redis,
    Kind.NEO4J: neo4j,
    Kind.QDRANT: qdrant,
    Kind.OLLAMA: _ollama,
    Kind.CONFIGURATION: _configuration,
    Kind.IMAGES: _images,
    Kind.PREFECT: _prefect,
}

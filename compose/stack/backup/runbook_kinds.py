"""The steps of RUNBOOK.md for each kind of component."""

from __future__ import annotations

from collections.abc import Callable

from compose.stack.backup.component import Kind
from compose.stack.backup.manifest import ComponentRecord, Manifest, PlaceRecord
from compose.stack.backup.runbook_shell import Q, Step, compose, data, named, plain, start, stop
from compose.stack.backup.runbook_stores import neo4j, postgres, qdrant, redis


def steps(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    """What to do for one component: sentences, and blocks of commands."""
    return _TABLE.get(component.kind, _volume)(component, manifest)


def _volume(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    """Everything that is an archive of its data directory."""
    archives = named(component, ".tar")
    places = component.places if len(component.places) == len(archives) else component.places[:1] * len(archives)
    found: list[Step] = [stop(component, manifest)]
    for name, place in zip(archives, places, strict=False):
        found += _unpacked(name, place, manifest)
    others = [plain(f) for f in component.files if not plain(f).endswith((".tar", ".jsonl", ".index"))]
    found += [f"Beside it: `{name.replace('`', chr(39))}`." for name in others]
    if component.pool:
        found += _pool(component, data(component.places[0]) if component.places else _BESIDE)
    return [*found, start(component, manifest)]


def _unpacked(name: str, place: PlaceRecord, manifest: Manifest) -> list[Step]:
    if place.kind == "layer":
        container = f'"$({compose(manifest, "ps -aq", Q(place.service))} | head -n 1)"'
        return ["Into the container that the service has now.", (f"docker cp - {container}:/ < {Q(name)}",)]
    return [
        "What is there is moved aside, not overwritten.",
        (
            *data(place),
            'mkdir "$DATA".before-restore',
            'find "$DATA" -mindepth 1 -maxdepth 1 -exec mv -t "$DATA".before-restore {} +',
            f'tar -xp --numeric-owner --xattrs --same-owner -f {Q(name)} -C "$DATA"',
        ),
    ]


_BESIDE = ("DATA=$PWD/plain/pool-data", 'mkdir -p "$DATA"')


def _pool(component: ComponentRecord, where: tuple[str, ...]) -> list[Step]:
    """Files that lie in the pool, each by its line in the listing.

    Args:
        where: Commands that set `$DATA`.
    """
    if component.pool is None:
        return []
    listing = Q(plain(component.pool.listing))
    return [
        "Its files lie in the pool, `../../pool` from here. (Names with line ends, tabs or backslashes need more"
        " care.)",
        (
            *where,
            *_each("directory", ".path, (.mode // 420)", "FILE MODE", listing),
            '  mkdir -p "$DATA/$FILE"',
            "done",
            *_each("file", _FILE, "FILE BLOB SUM OWNER GROUP MODE", listing),
            '  mkdir -p "$DATA/$(dirname "$FILE")"',
            '  case "$BLOB" in',
            '    *.zst.age) age -d -i identity.txt "../../pool/$BLOB" | zstd -d -q -c ;;',
            '    *.age) age -d -i identity.txt "../../pool/$BLOB" ;;',
            '    *.zst) zstd -d -q -c < "../../pool/$BLOB" ;;',
            '    *) cat "../../pool/$BLOB" ;;',
            '  esac > "$DATA/$FILE"',
            '  echo "$SUM  $DATA/$FILE" | sha256sum -c --quiet -',
            '  chown "$OWNER:$GROUP" "$DATA/$FILE"',
            '  chmod "$(printf %o "$MODE")" "$DATA/$FILE"',
            "done",
            *_each("symlink", ".path, .link", "FILE LINK", listing),
            '  mkdir -p "$DATA/$(dirname "$FILE")" && ln -sfn "$LINK" "$DATA/$FILE"',
            "done",
            *_each("hardlink", ".path, .link", "FILE LINK", listing),
            '  ln -f "$DATA/$LINK" "$DATA/$FILE"',
            "done",
        ),
    ]


_FILE = ".path, .blob, .sha256, (.uid // 0), (.gid // 0), (.mode // 420)"


def _each(kind: str, columns: str, names: str, listing: str) -> tuple[str, str]:
    """The first two lines of a loop over the lines of one kind."""
    table = f"jq -r 'select(.kind == \"{kind}\") | [{columns}] | @tsv' {listing} |"
    return table, f"while IFS=\"$(printf '\\t')\" read -r {names}; do"


def _ollama(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    return [*_volume(component, manifest), "Start the server with `OLLAMA_NOPRUNE=1` the first time."]


def _configuration(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    commands = [f"tar -xp -f {Q(name)} -C restored-configuration" for name in named(component, ".tar")]
    return [
        "Compose files, `.env` and mounted configuration. The `.env` belongs to the data of this backup: passwords"
        " in it count only together with the stores' own files.",
        ("mkdir -p restored-configuration", *commands),
    ]


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

"""The steps of RUNBOOK.md for databases, whose own tools read their files."""

from __future__ import annotations

import posixpath
from urllib.parse import quote

from compose.stack.backup.manifest import ComponentRecord, Manifest
from compose.stack.backup.runbook_shell import Q, Step, compose, data, named, own_service, rest, start, stop

SNAPSHOT = ".snapshot"


def postgres(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    """PostgreSQL: roles, then each database under its own name."""
    inside = compose(manifest, "exec -T", Q(own_service(component)), "sh -c")
    told, port = component.fingerprint.get("user"), component.fingerprint.get("port")
    user = (f"-U {Q(str(told))}" if told else '-U "${POSTGRES_USER:-postgres}"') + (f" -p {port}" if port else "")
    globals_ = [
        f"{inside} {Q(f'psql -X {user} -d postgres')} < {Q(name)}" for name in named(component, "globals.sql")
    ]
    dumps = named(component, ".dump")
    own = [name for name in dumps if posixpath.basename(name) in ("postgres.dump", "template1.dump")]
    there = [
        f"{inside} {Q(f'pg_restore {user} --clean --if-exists --exit-on-error -d {posixpath.basename(n)[:-5]}')}"
        f" < {Q(n)}"
        for n in own
    ]
    made = [
        f"{inside} {Q(f'pg_restore {user} --create --exit-on-error -d postgres')} < {Q(name)}"
        for name in dumps
        if name not in own
    ]
    strict = f"psql -X -q -v ON_ERROR_STOP=1 {user} -d postgres"
    aside = [
        f"printf '%s\\n' {Q(_aside(name))} | {inside} {Q(strict)}"
        for name in sorted(component.fingerprint.get("databases", {}))
        if name not in ("postgres", "template1")
    ]
    ready = f"until {inside} {Q(f'pg_isready -q -h 127.0.0.1 {user}')}; do sleep 1; done"
    return [
        "Into a running server; nobody else may be connected to it.",
        (*start(component, manifest), ready),
        "Roles that exist already are named as errors; that is fine. The roles' passwords are those of the backup"
        " afterwards.",
        tuple(globals_),
        "A database that is in the way (a new server makes one itself) is renamed, never dropped: to"
        " `…_before_restore`.",
        tuple(aside),
        "Each dump makes its database with its owner, rights and settings.",
        tuple(made + there),
        (f"{inside} {Q(f'vacuumdb {user} --all --analyze-only')}",),
        *standing(component, manifest),
    ]


def _aside(database: str) -> str:
    """What renames a database that is there; it gives psql its next command (`\\gexec`)."""
    literal = database.replace("'", "''")
    rename = "format('ALTER DATABASE %I RENAME TO %I', datname, left(datname, 40) || '_before_restore')"
    return f"SELECT {rename} FROM pg_database WHERE datname = '{literal}' \\gexec"


def standing(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    """What lay beside its own files, for a server that runs until then."""
    found = rest(component)
    return [stop(component, manifest), *found, start(component, manifest)] if found else []


def _directory(component: ComponentRecord, path: str) -> tuple[str, ...]:
    """Commands after which `$DATA` is a directory of the store on this host; it is made where it is not there."""
    holding = [one for one in component.places if one.target and f"{path}/".startswith(f"{one.target}/")]
    if not holding:
        return data(component.places[0]) if component.places else ("DATA=redis-data",)
    place = max(holding, key=lambda one: len(one.target))
    below = posixpath.relpath(path, place.target)
    if below == ".":
        return data(place)
    owner = 'chown --reference="$DATA" "$DATA/$BELOW"'
    return (*data(place), f"BELOW={Q(below)}", f'[ -d "$DATA/$BELOW" ] || {{ mkdir -p "$DATA/$BELOW"; {owner}; }}',
            'DATA="$DATA/$BELOW"')  # fmt: skip


def redis(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    """Redis: also where its append-only file is on."""
    (rdb, *_) = named(component, ".rdb") or ["plain/redis/dump.rdb"]
    path = str(component.fingerprint.get("path") or "")
    file = Q(posixpath.basename(path) or "dump.rdb")
    return [
        "With its append-only file on, Redis ignores `dump.rdb` and then overwrites it: the snapshot is put in as"
        " the base of that file too. Stop the server first; what is there is moved aside.",
        (
            *stop(component, manifest),
            *_directory(component, posixpath.dirname(path)),
            'mkdir "$DATA"/before-restore',
            f"for OLD in {file} appendonlydir; do",
            '  [ ! -e "$DATA/$OLD" ] || mv "$DATA/$OLD" "$DATA"/before-restore/',
            "done",
            'mkdir "$DATA"/appendonlydir',
            f'cp {Q(rdb)} "$DATA"/{file}',
            f'cp {Q(rdb)} "$DATA"/appendonlydir/appendonly.aof.1.base.rdb',
            ': > "$DATA"/appendonlydir/appendonly.aof.1.incr.aof',
            'AOF="$DATA"/appendonlydir/appendonly.aof.manifest',
            "echo 'file appendonly.aof.1.base.rdb seq 1 type b' > \"$AOF\"",
            "echo 'file appendonly.aof.1.incr.aof seq 1 type i' >> \"$AOF\"",
            f'chown -R --reference="$DATA" "$DATA"/{file} "$DATA"/appendonlydir',
        ),
        *rest(component),
        start(component, manifest),
        "`redis-cli DBSIZE` has to say what the fingerprint in the manifest says, less what has expired since.",
    ]


def neo4j(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    """Neo4j: each dump is checked before it replaces anything."""
    volume = Q(component.places[0].source + ":/data") if component.places else "neo4j_data:/data"
    dumps = sorted(named(component, ".dump"), key=lambda name: (name.endswith("/system.dump"), name))
    where = posixpath.dirname(dumps[0]) if dumps else "plain"
    image = Q(component.image_id or component.image)
    run = f'docker run --rm -v {volume} -v "$PWD"/{Q(where)}:/dumps:ro {image} neo4j-admin database'
    found: list[Step] = [
        "`load` deletes the old database before it looks at the dump: check each dump first, and copy the data"
        " directory. The system database holds users and roles; it comes last. The server's own user has to read"
        " the dumps; the directory above them stays yours alone.",
        (*stop(component, manifest), f"chmod -R a+rX {Q(where)}"),
    ]
    for name in dumps:
        database = Q(posixpath.basename(name)[: -len(".dump")])
        found.append(
            (
                f"{run} check {database} --from-path=/dumps --temp-path=/tmp",
                f"{run} load {database} --from-path=/dumps --overwrite-destination=true",
            )
        )
    found.append(start(component, manifest))
    return [*found, "Prove it by a query over Bolt: an empty database answers HTTP 200 too."]


def qdrant(component: ComponentRecord, manifest: Manifest) -> list[Step]:
    """Qdrant: one snapshot per collection."""
    uploads = []
    for name in named(component, SNAPSHOT):
        collection = quote(posixpath.basename(name)[: -len(SNAPSHOT)], safe="")
        url = f"http://127.0.0.1:6333/collections/{collection}/snapshots/upload?priority=snapshot&wait=true"
        uploads.append(f"curl -fsS -X POST -F {Q(f'snapshot=@{name}')} {Q(url)}")
    aliases = [name for name in named(component, ".json") if "alias" in name]
    return [
        "Into a server of the same minor version, whose port 6333 is reached here.",
        tuple(uploads),
        *(f"Aliases are no part of a snapshot; make those in `{name}` again (`POST /collections/aliases`)."
          for name in aliases),
        *standing(component, manifest),
    ]  # fmt: skip

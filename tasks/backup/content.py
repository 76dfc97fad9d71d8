"""Content checks: each store's own tool, or a full read of ours, understands the plain bytes of a saved file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from blocks.engine import Engine
from blocks.facts import memory_free
from blocks.stores import content_reads as reads
from blocks.stores.scratch import PLACE, Tool, run_fed, run_on_archive
from compose.stack.backup import tools
from compose.stack.backup.component import Kind
from compose.stack.backup.manifest import ComponentRecord, FileRecord
from compose.stack.backup.store_files import rest_number
from compose.stack.errors import Damaged
from tasks.backup.beside import Beside, Together
from tasks.backup.content_postgres import LOADED, load_and_compare, recorded_of
from tasks.backup.procedure import Check

ENDINGS = {"zstd": ".zst", "age": ".age"}
WITH_SQLITE = (Kind.CHROMADB, Kind.GRAFANA)
FAISS = """
import json, sys, tarfile, faiss
found = {}
with tarfile.open(fileobj=sys.stdin.buffer, mode="r|") as archive:
    for member in archive:
        if member.isfile() and member.name.endswith((".index", ".faiss")) and not member.name.endswith(".json"):
            member_file = archive.extractfile(member)
            with open("/scratch/index", "wb") as file:
                while data := member_file.read(1 << 20):
                    file.write(data)
            if member.size:
                found[member.name] = int(faiss.read_index("/scratch/index").ntotal)
print("ops " + json.dumps(found))
"""


def plain_path(file: FileRecord) -> str:
    """A file's path without the endings of its encodings."""
    path = file.path
    for encoding in reversed(file.encodings):
        path = path.removesuffix(ENDINGS[encoding])
    return path


def content_check(
    kind: Kind,
    path: str,
    record: ComponentRecord | None,
    engine: Engine,
    image: str,
    *,
    spool: Path | None = None,
    index: Path | None = None,
    roles: Sequence[str] = (),
    loaded: int = LOADED,
    size: int = 0,
) -> Check | None:
    """What reads the plain bytes of one file of a component; None where nothing can be said beyond its hash.

    Args:
        path: Plain path (see `plain_path`); what is before the first slash does not matter.
        record: What was recorded of the component, when it is checked later; None during the backup.
        image: Id or name of the store's own image; it must be here for kinds whose own tool reads.
        spool: Where databases are unpacked to; the system's place for temporary files by default.
        index: A file with the index of the archive that is read.
        roles: Of PostgreSQL's globals, as they quote them.
        size: Plain bytes of the file, as far as known: memory and time of its tool follow it.
        loaded: Bytes up to which a recorded PostgreSQL dump is loaded into a server; a larger one is only read.
    """
    name = path.partition("/")[2] or path
    ending = Path(name).suffix
    where = path
    if ending == ".json":
        return Beside(reads.read_json, where)
    if ending in (".jsonl", ".index"):
        return Beside(reads.read_json_lines, where)
    if kind is Kind.POSTGRES and record is not None and ending == ".dump":
        return _postgres(record, path, engine, image, roles, loaded)
    if rest_number(name):
        return Beside(partial(reads.read_tar, index=index), where)
    own = _own_tool(kind, name, engine, image, where, size)
    if kind is Kind.POSTGRES:
        return own or Beside(reads.read_globals, where)
    if kind is Kind.REDIS and own:
        return Together(Beside(reads.read_rdb, where), own)
    if kind is Kind.QDRANT:
        return _qdrant(name, record, where)
    if kind is Kind.PREFECT:
        return Beside(partial(reads.read_sqlite, spool=spool), where) if ending == ".db" else None
    if ending == ".tar":
        found: list[Check] = [Beside(partial(reads.read_tar, index=index), where)]
        found += [Beside(partial(reads.read_tar_databases, spool=spool), where)] if kind in WITH_SQLITE else []
        return Together(*found, *([own] if own else []))
    return own


def _own_tool(kind: Kind, name: str, engine: Engine, image: str, where: str, size: int) -> Check | None:
    """The store's own tool in a scratch container of its image, for the files that it reads."""
    ending, seconds = Path(name).suffix, tools.seconds_for(size)
    if kind is Kind.POSTGRES and ending == ".dump":
        return Beside(partial(_fed, engine, image, Tool(tools.pg_restore_read(), seconds=seconds)), where)
    if kind is Kind.REDIS and ending == ".rdb":
        return Beside(partial(_fed, engine, image, Tool(tools.redis_check_rdb(), seconds=seconds)), where)
    if kind is Kind.NEO4J and ending == ".dump":
        return Beside(partial(_neo4j, engine, image, Path(name).stem, size), where)
    if kind is Kind.FAISS and ending == ".tar":
        return Beside(partial(_faiss, engine, image, size), where)
    if kind is Kind.PROMETHEUS and ending == ".tar":
        return Beside(partial(_prometheus, engine, image, size), where)
    return None


def _postgres(
    record: ComponentRecord, path: str, engine: Engine, image: str, roles: Sequence[str], loaded: int
) -> Check:
    """Loaded and compared with what was recorded; only read where nothing was, or where it is too large."""
    size = next((file.plain.bytes for file in record.files if plain_path(file) == path), 0)
    recorded = recorded_of(record, Path(path).name)
    if recorded is not None and size <= loaded:
        return Beside(partial(load_and_compare, engine, image, recorded, roles), path)
    why = f"it has more than {loaded / 1024**3:.4g} GiB" if recorded else "nothing was recorded of it"
    return Beside(partial(_only_read, engine, image, why), path)


def _only_read(engine: Engine, image: str, why: str, reader: reads.Reader) -> dict[str, Any]:
    _fed(engine, image, Tool(tools.pg_restore_read()), reader)
    return {"notes": [f"read by pg_restore, not loaded into a server: {why}"]}


def _fed(engine: Engine, image: str, tool: Tool, reader: reads.Reader) -> dict[str, Any]:
    code, said = run_fed(engine, image, tool, reads.portions(reader))
    if code:
        raise Damaged(f"{tool.argv[0]} does not understand it (code {code}): {' | '.join(said.splitlines()[-4:])}")
    return {}


def _neo4j(engine: Engine, image: str, database: str, size: int, reader: reads.Reader) -> dict[str, Any]:
    check = " ".join(f"'{word}'" for word in tools.neo4j_check(database, PLACE))
    script = f"mkdir {PLACE}/work && cat > '{PLACE}/{database}.dump' && exec {check}"
    return _fed(engine, image, _loading(("sh", "-c", script), engine, size), reader)


def _faiss(engine: Engine, image: str, size: int, reader: reads.Reader) -> dict[str, Any]:
    tool = _loading(("python3", "-c", FAISS), engine, size)
    code, said = run_fed(engine, image, tool, reads.portions(reader))
    line = next((line[4:] for line in said.splitlines() if line.startswith("ops ")), "")
    if code or not line:
        raise Damaged(f"FAISS cannot read an index (code {code}): {' | '.join(said.splitlines()[-2:])}")
    return {"ntotal": json.loads(line)}


def _loading(argv: tuple[str, ...], engine: Engine, size: int) -> Tool:
    """A tool that has the file on a disk of its own and loads much of it."""
    memory = tools.memory_for(size, memory_free(engine))
    return Tool(argv, memory, disk=True, seconds=tools.seconds_for(size))


def _prometheus(engine: Engine, image: str, size: int, reader: reads.Reader) -> dict[str, Any]:
    tool = Tool(tools.promtool_list(PLACE), disk=True, seconds=tools.seconds_for(size))
    code, said = run_on_archive(engine, image, tool, reads.portions(reader))
    if code:
        raise Damaged(f"promtool does not understand it (code {code}): {' | '.join(said.splitlines()[-2:])}")
    return {"blocks": max(0, len(said.splitlines()) - 1)}


def _qdrant(name: str, record: ComponentRecord | None, where: str) -> Check | None:
    """A snapshot is an archive, and the server told its checksum when it made it."""
    collections: Mapping[str, Any] = record.fingerprint.get("collections") or {} if record else {}
    told = next((one.get("checksum") for one in collections.values() if one.get("file") == name), None)
    checks: list[Check] = [Beside(reads.read_tar, where)]
    checks += (
        [Beside(partial(reads.read_hash, expected=str(told), what="that Qdrant told"), where)] if told else []
    )
    return Together(*checks)

"""RUNBOOK.md: commands that can be pasted, for exactly what a backup holds."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from blocks.backup.identities import read_identities
from blocks.targets.directory import DirectoryTarget
from compose.stack.backup.component import Kind, Manner
from compose.stack.backup.manifest import ComponentRecord, Digest, FileRecord, Manifest, PlaceRecord, WaiverRecord
from compose.stack.backup.runbook import runbook
from tests.backup_lab import DUMP, MODELS, BackupLab

AT = datetime(2026, 11, 24, tzinfo=UTC)
ODD = "o'dd $(touch /tmp/x) `id`"
TOOLS = ("age", "age-keygen", "zstd", "openssl", "sha256sum")
FILES = {
    Kind.POSTGRES: ("globals.sql", "app.dump", "postgres.dump"),
    Kind.REDIS: ("dump.rdb",),
    Kind.NEO4J: ("neo4j.dump", "system.dump"),
    Kind.QDRANT: ("knowledge.snapshot", "aliases.json"),
    Kind.CHROMADB: ("data.tar", "data.index.jsonl"),
    Kind.CONFIGURATION: ("sources.tar", "secrets.tar"),
    Kind.IMAGES: ("images.tar",),
    Kind.PREFECT: ("prefect.db",),
    Kind.LAYER: ("data.tar",),
}
SAID = {
    Kind.POSTGRES: ["psql -X", "pg_restore", "--create --exit-on-error", "--clean --if-exists"],
    Kind.REDIS: ["appendonly.aof.1.base.rdb seq 1 type b", "appendonly.aof.1.incr.aof seq 1 type i"],
    Kind.NEO4J: ["neo4j-admin database check neo4j", "neo4j-admin database load system"],
    Kind.QDRANT: ["/collections/knowledge/snapshots/upload?priority=snapshot", "aliases"],
    Kind.CHROMADB: ["tar -xp --numeric-owner", "docker volume create"],
    Kind.CONFIGURATION: ["tar -xp -f plain/configuration/secrets.tar"],
    Kind.IMAGES: ["docker load -i plain/images/images.tar"],
    Kind.PREFECT: ["prefect.db"],
    Kind.LAYER: ["docker cp - "],
}

SHARED = ("tar -xp --numeric-owner", "docker volume create")


def record(path: str, *, sealed: bool) -> FileRecord:
    plain, stored = Digest(sha256="a" * 64, bytes=9), Digest(sha256="b" * 64, bytes=8)
    if sealed:
        return FileRecord(path=f"{path}.zst.age", plain=plain, stored=stored, encodings=("zstd", "age"))
    return FileRecord(path=f"{path}.zst", plain=plain, stored=stored, encodings=("zstd",))


def manifest(
    *kinds: Kind,
    sealed: bool = True,
    files: Mapping[Kind, tuple[str, ...]] = FILES,
    services: tuple[str, ...] = (),
    name: str = "",
    **change: Any,
) -> Manifest:
    components = tuple(
        ComponentRecord(
            name=name or kind.value, kind=kind, manner=Manner.ONLINE, services=services or (kind.value,),
            began=AT, ended=AT, image=ODD,
            places=(PlaceRecord(kind="layer" if kind is Kind.LAYER else "volume", source=ODD),),
            files=tuple(record(f"{kind.value}/{name}", sealed=sealed) for name in files[kind]),
        )
        for kind in kinds
    )  # fmt: skip
    how: dict[str, Any] = {
        "id": "20261124T000000Z-0123abcd", "stack": "light", "stack_id": "light-0123abcd", "project": "p",
        "host": ODD, "product": "1", "began": AT, "ended": AT, "recipients": ("age1abc",) if sealed else (),
        "components": components,
    }  # fmt: skip
    return Manifest(**how | change)


def blocks(page: str) -> list[str]:
    return re.findall(r"^```sh\n(.*?)\n^```$", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("kind", FILES)
def test_each_kind_has_its_steps(kind: Kind) -> None:
    """Its own tool's commands, and those of no other kind; every block is good shell."""
    page = runbook(manifest(kind))
    assert all(said in page for said in SAID[kind])
    others = [said for other, said in SAID.items() if other is not kind for said in said]
    assert not [said for said in others if said in page and said not in SAID[kind] and said not in SHARED]
    for block in blocks(page):
        subprocess.run(("sh", "-n"), input=block, text=True, check=True, capture_output=True)


@pytest.mark.parametrize("kind", [Kind.POSTGRES, Kind.REDIS, Kind.QDRANT, Kind.PROMETHEUS, Kind.VOLUME])
def test_what_lay_beside_a_stores_own_files_returns(kind: Kind) -> None:
    """Into its place while the store stands still, and nothing is moved aside for it but the same files."""
    name = f"{kind.value}/rest.tar"
    page = runbook(manifest(kind, files={kind: (*FILES.get(kind, ()), "rest.tar")}))
    (unpack,) = [block for block in blocks(page) if f"-f plain/{name}" in block]
    assert "tar -xp --backup=simple --numeric-owner --xattrs --xattrs-include='*'" in unpack
    assert "before-restore" not in unpack
    lines = [line for block in blocks(page) for line in block.splitlines() if "docker compose -p p s" in line]
    at = page.index(unpack)
    assert lines[-1] == f"docker compose -p p start {kind.value}"
    assert page.rindex(f"docker compose -p p stop {kind.value}") < at < page.rindex(lines[-1])


def test_a_databases_commands_run_in_its_own_container() -> None:
    """Whoever else mounts its volume: one word, quoted."""
    page = runbook(manifest(Kind.POSTGRES, services=("walg", "d b"), name="d b"))
    assert "exec -T 'd b' sh -c" in page
    assert "walg" not in page.replace("start walg", "")
    assert "exec -T db sh -c" in runbook(manifest(Kind.POSTGRES, services=("db",), name="images-1234abcd"))


def told(kind: Kind, places: tuple[PlaceRecord, ...], fingerprint: dict[str, Any]) -> str:
    """The page of a component with these facts."""
    made = manifest(kind)
    (one,) = made.components
    one = one.model_copy(update={"places": places, "fingerprint": fingerprint})
    return runbook(made.model_copy(update={"components": (one,)}))


def test_redis_returns_to_where_it_kept_its_file() -> None:
    """On another volume than the image's, in a directory of it, under another name."""
    places = tuple(
        PlaceRecord(kind="volume", source=source, target=target)
        for source, target in (("old", "/data"), ("real", "/var/lib/redis"))
    )
    page = told(Kind.REDIS, places, {"path": "/var/lib/redis/six/mine.rdb"})
    assert "docker volume create real" in page
    assert "docker volume create old" not in page
    assert "BELOW=six" in page
    assert 'cp plain/redis/dump.rdb "$DATA"/mine.rdb' in page
    assert "BELOW" not in told(Kind.REDIS, places, {"path": "/data/dump.rdb"})


def test_a_database_is_entered_as_the_file_says() -> None:
    """Its superuser and port, where its environment does not tell them."""
    assert "-U boss -p 5433" in told(Kind.POSTGRES, (), {"user": "boss", "port": 5433})
    assert '-U "${POSTGRES_USER:-postgres}" -d' in told(Kind.POSTGRES, (), {})


def test_odd_names_run_nothing(tmp_path: Path) -> None:
    """Names of volumes, hosts and images are words, whatever is in them."""
    page = runbook(manifest(*FILES))
    for block in blocks(page):
        for line in block.splitlines():
            assert ODD not in line or "'\"'\"'" in line
    (tmp_path / "docker").write_text('#!/bin/sh\nfor word in "$@"; do echo "<$word>"; done\n')
    (tmp_path / "docker").chmod(0o700)
    create = next(line for b in blocks(page) for line in b.splitlines() if line.startswith("docker volume create"))
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(("sh", "-c", create), env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"<{ODD}>"


def test_a_single_file_is_put_back_in_its_own_place(tmp_path: Path) -> None:
    """Not into a directory of its name; what is there is kept, and the directory that an engine made of it too."""
    (tmp_path / "plain" / "bind").mkdir(parents=True)
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "app.db").write_text("old")
    made, where = manifest(Kind.CHROMADB, sealed=False), str(tmp_path / "srv" / "app.db")
    change = {
        "kind": Kind.VOLUME,
        "name": "bind",
        "services": (),
        "places": (PlaceRecord(kind="bind", source=where),),
    }
    change |= {"files": (record("bind/data.tar", sealed=False),), "fingerprint": {"files": 1, "directories": 0}}
    page = runbook(made.model_copy(update={"components": (made.components[0].model_copy(update=change),)}))
    (put,) = [block for block in blocks(page) if "plain/bind/data.tar" in block and "FILE=" in block]
    saved = tmp_path / "app.db"
    saved.write_text("saved")
    subprocess.run(("tar", "-cf", "plain/bind/data.tar", "app.db"), cwd=tmp_path, check=True)
    subprocess.run(("sh", "-euc", put), cwd=tmp_path, check=True)
    assert (tmp_path / "srv" / "app.db").read_text() == "saved"
    assert (tmp_path / "srv" / "app.db.before-restore").read_text() == "old"


def test_it_names_the_tools_that_are_needed() -> None:
    """And none that are not."""
    page = runbook(manifest(Kind.REDIS, sealed=False))
    assert "age" not in page.split("## 2.")[0].split("## 1.")[1]
    assert "age1abc" in runbook(manifest(Kind.REDIS))


def test_what_is_not_in_it_is_said() -> None:
    """Missing components, what was left out, and what is not saved on purpose."""
    gone = (WaiverRecord(what="neo4j", reason="failed"),)
    page = runbook(
        manifest(Kind.REDIS, missing=gone, left_out=(".env",), waived=(WaiverRecord(what="c", reason="d"),))
    )
    assert "**It is not complete.** Missing: neo4j" in page
    assert "- .env" in page
    assert "- c: d" in page


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason="age, zstd and openssl are not all here")
@pytest.mark.parametrize("sealed", [False, True], ids=["clear", "sealed"])
def test_its_commands_open_a_real_backup(tmp_path: Path, sealed: bool) -> None:
    """Signature, sums, and every file: as the page says, with standard tools alone."""
    key, place = tmp_path / "key", tmp_path / "target"
    subprocess.run(("age-keygen", "-o", str(key)), check=True, capture_output=True)
    place.mkdir()
    keys = read_identities(str(key))
    lab = BackupLab(tmp_path, keys)
    made = lab.backup({"t": DirectoryTarget(place)}, keys.recipients if sealed else ())
    there = place / made.stack_id / "backups" / made.id
    page = (there / "RUNBOOK.md").read_text()
    if sealed:
        shutil.copy(key, there / "identity.txt")
    check, opening, again, *_ = blocks(page)
    for block in (check, opening, again):
        subprocess.run(("sh", "-euc", block), cwd=there, check=True, capture_output=True)
    assert (there / "plain/postgres/app.dump").read_bytes() == DUMP
    if shutil.which("jq"):
        loop = next(block for block in blocks(page) if "jq" in block)
        loop = loop.replace("/srv/restored/ollama", str(tmp_path / "restored"))
        subprocess.run(("sh", "-euc", loop), cwd=there, check=True, capture_output=True)
        assert {name: (tmp_path / "restored" / name).read_bytes() for name in MODELS} == MODELS
        assert (tmp_path / "restored/blobs/link").read_bytes() == MODELS["blobs/large"]
    spoiled = there / made.files[1].path
    spoiled.write_bytes(hashlib.sha256(spoiled.read_bytes()).digest())
    assert subprocess.run(("sh", "-euc", check), cwd=there, capture_output=True, check=False).returncode

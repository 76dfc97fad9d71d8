"""Configuration, images and Prefect's database: what people wrote, and no secret in clear."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from blocks.backup.pool import PoolWriter
from blocks.backup.signing import Keyring
from blocks.backup.writer import BackupWriter
from blocks.engine import Engine
from compose.stack.backup.component import Component, Kind, Manner
from tasks.backup.configuration import ConfigurationProcedure
from tasks.backup.images import ImagesProcedure
from tasks.backup.prefect_database import PrefectProcedure
from tasks.backup.procedure import Saved, Saving
from tasks.work import Work
from tests.engine_state import docker
from tests.fakes.backup_files import MemoryFiles
from tests.fakes.memory_target import MemoryTarget
from tests.lab import Lab
from tests.projects import ComposeProject
from tests.saving_lab import BUSYBOX, laboratory, network, opened

pytestmark = pytest.mark.engine

CANARIES = ("canary-literal-1", "canary-dotenv-2", "canary-envfile-3", "canary-secretfile-4", "canary-context-5")
MAIN = f"""
include: [more.yml]
services:
  app:
    build: ./app
    image: t-backup-configured:1
    command: [sleep, "600"]
    environment: {{DB_PASSWORD: canary-literal-1, OTHER_PASSWORD: "${{DOTENV_PASSWORD}}", PLAIN: visible}}
    env_file: [app.env]
    configs: [{{source: settings, target: /settings.txt}}]
    secrets: [token]
    volumes: ["./mounted:/mounted:ro"]
configs: {{settings: {{file: settings.txt}}}}
secrets: {{token: {{file: token.txt}}}}
{network(30)}
"""
MORE = f'services: {{other: {{image: "{BUSYBOX}", command: [sleep, "600"]}}}}\n'
FILES = {
    "compose.yml": MAIN,
    "more.yml": MORE,
    ".env": "DOTENV_PASSWORD=canary-dotenv-2\n",
    "app.env": "FILE_TOKEN=canary-envfile-3\n",
    "settings.txt": "colour = blue\n",
    "token.txt": "canary-secretfile-4\n",
    "app/Dockerfile": f"FROM {BUSYBOX}\nRUN echo built > /built\n",
    "app/.dockerignore": "big\n*.log\n!keep.log\n",
    "app/big/file": "x" * 1000,
    "app/a.log": "no",
    "app/keep.log": "yes",
    "app/server.key": "canary-context-5\n",
    "mounted/deep/rules.yml": "rules: []\n",
}


@pytest.fixture
def lab(tmp_path: Path, alone: None) -> Iterator[Lab]:
    with laboratory(tmp_path) as lab:
        yield lab


def rights(data: bytes) -> dict[str, tuple[str, int]]:
    """Mode and owner of every member, directories included."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: (oct(one.mode), one.uid) for one in archive}


def deployed(lab: Lab) -> Work:
    project = lab.scratch("configured", FILES["compose.yml"])
    for path, text in FILES.items():
        place = Path(project.path(path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    os.chown(project.path("mounted/deep/rules.yml"), 1234, 1234)
    Path(project.path("mounted/deep")).chmod(0o751)
    lab.undo(lambda: docker("image", "rm", "-f", "t-backup-configured:1"))
    report = lab.deploy(project)
    assert report.exit_code == 0, report
    return opened(lab, project)


def given(work: Any, kind: Kind, spool: Path, files: MemoryFiles, pool: Any = None) -> Saving:
    component = Component(kind.value, kind, Manner.LIVE)
    stopping: Any = None
    spool.mkdir(exist_ok=True)
    return Saving(work, component, files, stopping, spool, pool=pool)


def save(procedure: Any) -> Saved:
    try:
        procedure.open()
        saved: Saved = procedure.save()
        return saved
    finally:
        procedure.close()


def members(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive if one.isfile()}  # type: ignore[union-attr]


def test_everything_that_was_written_is_saved_and_secrets_lie_apart(lab: Lab) -> None:
    """Sources, includes, contexts, mounted files and configs in one archive; whatever holds a secret in the other;
    without encryption the second is left out, file by file by name."""
    work = deployed(lab)
    files = MemoryFiles()
    saved = save(ConfigurationProcedure(given(work, Kind.CONFIGURATION, lab.place / "spool", files)))
    clear = members(files.plain["configuration/sources.tar"])
    secret = members(files.plain["configuration/secrets.tar"])
    root = f"files{lab.place}/configured/"
    assert {name.removeprefix(root) for name in clear if name.startswith(root)} == {
        "more.yml", "settings.txt", "app/Dockerfile", "app/.dockerignore", "app/keep.log",
        "mounted/deep/rules.yml",
    }  # fmt: skip
    kept = rights(files.plain["configuration/sources.tar"])
    assert kept[f"{root}mounted/deep/rules.yml"] == ("0o644", 1234)
    assert kept[f"{root}mounted/deep"] == ("0o751", 0)
    assert kept["flat.yaml"] == ("0o600", 0)
    own = {name.removeprefix(root) for name in secret if name.startswith(root)}
    assert own == {"compose.yml", ".env", "app.env", "token.txt", "app/server.key"}
    assert {"flat.yaml", "images.json", "release.json"} <= set(clear)
    assert b"canary-dotenv-2" in secret["rendered.yaml"]
    whole = b"".join(clear.values())
    assert not [canary for canary in CANARIES if canary.encode() in whole]
    assert b"visible" in clear["flat.yaml"]
    assert json.loads(clear["images.json"])["app"]["id"].startswith("sha256:")
    assert files.records["configuration/secrets.tar"].secret
    assert saved.left_out == ()
    assert not [canary for canary in CANARIES if canary in repr(saved)]
    bare = MemoryFiles(sealed=False)
    told = save(ConfigurationProcedure(given(work, Kind.CONFIGURATION, lab.place / "spool", bare)))
    assert list(bare.plain) == ["configuration/sources.tar"]
    assert {f"{lab.place}/configured/.env", "rendered.yaml"} <= set(told.left_out)


def test_an_image_is_saved_once_and_loads_again(lab: Lab) -> None:
    """What was built here goes into the pool under its id; a second backup adds nothing; docker load brings it."""
    work = deployed(lab)
    target = MemoryTarget()
    sizes = []
    identity = str(Engine.connect().image("t-backup-configured:1")["Id"])  # type: ignore[index]
    for number in range(2):
        writer = BackupWriter({"memory": target}, "light-aaaaaaaa", f"20260101T00000{number}Z-0000000{number}")
        pool = PoolWriter(writer, Keyring.of(work.home), lab.place / "index.sqlite")
        files: Any = writer
        saved = save(ImagesProcedure(given(work, Kind.IMAGES, lab.place / "spool", files, pool)))
        assert saved.pool is not None
        sizes.append(saved.pool.new_bytes)
        pool.close()
    assert sizes[0] > 0
    assert sizes[1] == 0
    assert saved.fingerprint["images"][identity]["references"] == ["t-backup-configured:1"]
    files = MemoryFiles()
    save(ImagesProcedure(given(work, Kind.IMAGES, lab.place / "spool", files)))
    archive = files.plain[f"images/{identity.partition(':')[2]}.tar"]
    assert {"manifest.json"} <= set(members_of(archive))
    lab.clear(lab_project(lab))
    docker("image", "rm", "-f", "t-backup-configured:1")
    Engine.connect().client.images.load(archive)
    assert str(Engine.connect().image("t-backup-configured:1")["Id"]) == identity  # type: ignore[index]


def members_of(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getnames()


def lab_project(lab: Lab) -> Any:
    return ComposeProject("configured", place=lab.place)


def database(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE flow_run(id int)")
    connection.execute("CREATE TABLE configuration(key text, value text)")
    connection.execute("INSERT INTO configuration VALUES ('ENCRYPTION_KEY', 'canary-of-the-key')")
    connection.executemany("INSERT INTO flow_run VALUES (?)", [(n,) for n in range(5000)])
    connection.commit()
    return connection


def test_prefects_database_is_copied_while_it_is_written(lab: Lab) -> None:
    """Its write-ahead log is in the copy, which is whole; without encryption the key to its secrets is not."""
    work: Any = type("Work", (), {})()
    work.home = type("Home", (), {"prefect": lab.place / "prefect"})()
    work.home.prefect.mkdir()
    with_log = database(work.home.prefect / "prefect.db")
    try:
        for sealed in (True, False):
            files = MemoryFiles(sealed=sealed)
            saved = save(PrefectProcedure(given(work, Kind.PREFECT, lab.place / "spool", files)))
            data = files.plain["prefect/prefect.db"]
            copy = lab.place / "copy.db"
            copy.write_bytes(data)
            with sqlite3.connect(copy) as connection:
                assert connection.execute("SELECT count(*) FROM flow_run").fetchone() == (5000,)
            assert (b"canary-of-the-key" in data) is sealed
            assert bool(saved.left_out) is not sealed
            assert saved.fingerprint["databases"]["prefect.db"]["flow_run"] == 5000
            assert list((lab.place / "spool").iterdir()) == []
    finally:
        with_log.close()

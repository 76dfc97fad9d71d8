"""A PostgreSQL backup is proven by loading it: a changed row is found even where every hash was rewritten."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from blocks.backup.signing import Keyring
from blocks.engine import Engine
from blocks.home import Home
from blocks.polling import poll
from blocks.stores.scratch import holder_label
from compose.stack.backup.component import Kind
from compose.stack.backup.manifest import Digest, FileRecord, Manifest
from compose.stack.backup.reading import manifest_bytes, parse_manifest
from compose.stack.backup.request import BackupRequest, VerifyBackupRequest
from compose.stack.errors import Exit, Failed
from flows.backup_stack import backup_stack
from flows.walker import ThreadRunner
from tasks.backup import proving
from tasks.backup.content import content_check, plain_path
from tasks.steps import Plainly
from tests.engine_state import docker
from tests.lab import Lab
from tests.projects import ComposeProject
from tests.store_lab import POSTGRES, need

pytestmark = [pytest.mark.engine, pytest.mark.stack]

ROW = b"the row that somebody changes"
ODD = 'o\'dd = "n\\ame" ü'
SHOP = f"""
services:
  db:
    image: {POSTGRES}
    environment: {{POSTGRES_USER: shop, POSTGRES_PASSWORD: canary-content-pg-1, POSTGRES_DB: shop}}
    volumes: [pg:/var/lib/postgresql/data]
    healthcheck: {{test: [CMD, pg_isready, -h, 127.0.0.1], interval: 9s, start_period: 30s, start_interval: 1s}}
volumes: {{pg: {{}}}}
networks: {{default: {{ipam: {{config: [{{subnet: 10.214.35.0/24}}]}}}}}}
"""
CONTENT = (
    'CREATE ROLE "odd; role"; CREATE ROLE reader',
    "CREATE TABLE orders AS SELECT i, md5(i::text) AS what FROM generate_series(1, 5000) i",
    f"INSERT INTO orders VALUES (0, '{ROW.decode()}')",
    "CREATE UNIQUE INDEX ON orders(i); CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM orders",
    'ALTER TABLE orders OWNER TO "odd; role"; ALTER TABLE orders ENABLE ROW LEVEL SECURITY',
    "CREATE POLICY p ON orders TO reader USING (i > 0); GRANT SELECT ON orders TO reader",
    "CREATE EXTENSION vector; CREATE TABLE v(e vector(3)); INSERT INTO v VALUES ('[1,2,3]')",
    "SELECT lo_from_bytea(0, decode(repeat('ab', 5000), 'hex'))",
    "ALTER DATABASE shop SET default_transaction_read_only = on",
)
FAR = (
    "COPY (SELECT 'elsewhere') TO '/tmp/far'",
    "CREATE MATERIALIZED VIEW far AS SELECT pg_read_file('/tmp/far')",
)


class Saved:
    """A backup that was made once; each test spoils a copy of it, or none."""

    def __init__(self, lab: Lab, project: ComposeProject) -> None:
        self.home, self.project, self.target = Home(lab.ops_home), project, lab.place / "one"
        self.target.mkdir(mode=0o700)

    def request(self, kind: type[Any], **more: Any) -> Any:
        """A request about it."""
        files, to = [self.project.path("compose.yml")], [f"one={self.target}"]
        return kind(files=files, project_name=self.project.name, to=to, **more)

    def back_up(self) -> None:
        """Make it."""
        report = backup_stack(self.request(BackupRequest, only=["db"]), home=self.home, runner=ThreadRunner())
        assert report.exit_code == Exit.DONE, report.errors
        (self.place,) = self.target.glob(f"*/backups/{report.id}")
        self.manifest = parse_manifest((self.place / "manifest.json").read_bytes())

    def verify(self, level: str) -> Any:
        """What a later check of it says."""
        request = self.request(VerifyBackupRequest, id=self.manifest.id, level=level)
        return proving.verify_backup(request, self.home, Plainly())

    def file(self, database: str = "shop") -> FileRecord:
        """The record of a database's dump."""
        component = self.manifest.component("db")
        assert component is not None
        name = component.fingerprint["databases"][database]["file"]
        return next(file for file in component.files if Path(plain_path(file)).name == name)

    def dump(self, database: str = "shop") -> bytes:
        """A database's dump."""
        path = str(self.place / self.file(database).path)
        return subprocess.run(["zstd", "-d", "-c", path], capture_output=True, check=True).stdout

    def put(self, data: bytes) -> None:
        """Another dump, with all hashes rewritten, and the manifest signed again with the home's own key."""
        old = self.file()
        packed = subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout
        (self.place / old.path).write_bytes(packed)
        new = old.model_copy(update={"plain": _digest(data), "stored": _digest(packed)})
        component = self.manifest.component("db")
        assert component is not None
        files = tuple(new if file.path == old.path else file for file in component.files)
        others = tuple(one for one in self.manifest.components if one.name != "db")
        self.manifest = self.manifest.model_copy(
            update={"components": (*others, component.model_copy(update={"files": files}))}
        )
        self._sign(self.manifest)

    def _sign(self, manifest: Manifest) -> None:
        whole = manifest_bytes(manifest)
        (self.place / "manifest.json").write_bytes(whole)
        (self.place / "manifest.json.sig").write_bytes(Keyring.of(self.home).sign(whole))


def _digest(data: bytes) -> Digest:
    return Digest(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _sql(project: ComposeProject, script: str, database: str = "shop") -> None:
    words = ("psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", "shop", "-d", database, "-c", script)
    docker("exec", "-e", "PGOPTIONS=-c default_transaction_read_only=off", f"{project.name}-db-1", *words)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, test_images: None) -> Iterator[Saved]:
    """One backup for all tests of this module; what they do to it they undo."""
    need(POSTGRES)
    lab = Lab(tmp_path_factory.mktemp("content"))
    try:
        project = lab.scratch("t-content-pg", SHOP, {})
        made = Saved(lab, project)
        assert lab.deploy(project).exit_code == Exit.DONE
        _sql(project, f'CREATE DATABASE "{ODD.replace(chr(34), chr(34) * 2)}"')
        for script in CONTENT:
            _sql(project, script)
        made.back_up()
        yield made
    finally:
        lab.close()


@pytest.fixture(autouse=True)
def nothing_left(alone: None) -> Iterator[None]:
    """No scratch container or volume of ours outlives a test."""
    yield
    assert scratch() == []
    mine = [f"{key}={value}" for key, value in holder_label().items()]
    assert not Engine.connect().client.volumes.list(filters={"label": mine})


def scratch() -> list[Any]:
    """The scratch containers of this process."""
    mine = [f"{key}={value}" for key, value in holder_label().items()]
    return list(Engine.connect().client.containers.list(all=True, filters={"label": mine}))


def test_an_intact_backup_passes(saved: Saved) -> None:
    """Every database, whatever its name; roles, a policy, an extension, large objects, a read-only default."""
    proven = saved.verify("content")
    assert (proven.exit_code, proven.errors, proven.notes) == (Exit.DONE, [], [])


def test_a_changed_row_is_found_though_all_hashes_were_rewritten(saved: Saved) -> None:
    """One bit of a row's text: level bytes passes, level content names database and table, and no value."""
    whole = saved.dump()
    assert whole.count(ROW) == 1
    try:
        changed = bytearray(whole)
        changed[whole.index(ROW)] ^= 0x01
        saved.put(bytes(changed))
        assert saved.verify("bytes").exit_code == Exit.DONE
        proven = saved.verify("content")
    finally:
        saved.put(whole)
    assert proven.exit_code == Exit.FAILED
    (error,) = proven.errors
    assert "'shop', table public.orders: its rows are not those that were recorded" in error
    assert "somebody" not in error
    assert error.count("table ") == 1, "the other tables are right"
    assert saved.verify("content").exit_code == Exit.DONE


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: data.replace(b"EXISTS vector", b"EXISTS vectoq"), 'extension "vectoq" is not available'),
        (lambda data: data.replace(b"[1,2,3]", b"[1,2,x]"), "table v cannot be loaded: invalid input syntax"),
        (lambda data: data[:-10], "could not read from input file"),
        (lambda data: data[: len(data) // 2], "could not read from input file"),
    ],
    ids=["extension", "value", "end", "half"],
)
def test_what_cannot_be_loaded_is_told_without_values(
    saved: Saved, spoil: Callable[[bytes], bytes], said: str
) -> None:
    """An extension that the image lacks is named; a value that cannot be read is not."""
    with pytest.raises(Failed) as raised:
        check(saved, spoil(saved.dump()))
    assert said in str(raised.value)
    assert "1,2,x" not in str(raised.value)


def check(saved: Saved, data: bytes, **how: Any) -> dict[str, Any]:
    """What the later check of the shop's dump finds."""
    begun = begin(saved, **how)
    try:
        for at in range(0, len(data), 50_000):
            begun.write(data[at : at + 50_000])
        return dict(begun.finish())
    except BaseException:
        begun.abandon()
        raise


def begin(saved: Saved, **how: Any) -> Any:
    """The later check, begun."""
    roles = how.pop("roles", ("shop", '"odd; role"', "reader"))
    component = saved.manifest.component("db")
    path = plain_path(saved.file())
    return content_check(Kind.POSTGRES, path, component, Engine.connect(), POSTGRES, roles=roles, **how)


def test_a_dump_beyond_the_limit_is_only_read(saved: Saved) -> None:
    """And the notes say so."""
    found = check(saved, saved.dump(), loaded=1000)
    assert "not loaded into a server" in found["notes"][0]


def test_no_room_is_no_fault_of_the_backup(saved: Saved, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that cannot start here leaves the dump unproven, with the reason; it is not damaged."""
    monkeypatch.setattr("blocks.stores.postgres_scratch.START", "echo no room here; exit 1")
    found = check(saved, saved.dump())
    assert "no room here" in found["unproven"][0]
    proven = saved.verify("content")
    assert (proven.exit_code, proven.errors) == (Exit.FAILED, [])
    assert any("is not proven" in note for note in proven.notes)


def test_a_view_of_what_lies_elsewhere_is_no_fault_of_the_dump(saved: Saved) -> None:
    """It is computed again when a dump is loaded; a file, or another server, is not there then: no damage."""
    try:
        for script in FAR:
            _sql(saved.project, script)
        words = ("docker", "exec", f"{saved.project.name}-db-1", "pg_dump", "-Fc", "-U", "shop", "shop")
        data = subprocess.run(words, capture_output=True, check=True).stdout
    finally:
        _sql(saved.project, "DROP MATERIALIZED VIEW far")
    found = check(saved, data)
    assert "what a dump does not hold could not be computed again" in found["unproven"][0]


@pytest.mark.parametrize("share", [0.0, 0.5], ids=["begun", "half"])
def test_an_abandoned_check_leaves_nothing(saved: Saved, share: float) -> None:
    """Half-way: the server goes, with its volume and the one that its image declares."""
    data = saved.dump()
    begun = begin(saved)
    begun.write(data[: int(len(data) * share)])
    try:
        assert poll(lambda: [one.status for one in scratch()] == ["running"], 60)
        (server,) = scratch()
        volumes = [mount["Name"] for mount in server.attrs["Mounts"]]
        settings = server.attrs["HostConfig"]
    finally:
        begun.abandon()
    assert len(volumes) == 2
    assert settings["NetworkMode"] == "none"
    assert settings["Memory"] > 0
    assert not {one.name for one in Engine.connect().client.volumes.list()} & set(volumes)

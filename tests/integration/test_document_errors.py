"""Section 8 of the architecture document against what we do: one row for each error of its backup, on real stores.

Each row runs the document's own command where there is one, shows what is wrong with its result, and then that
ours has not that fault. Restore and recovery have their own rows elsewhere.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from blocks.home import Home
from compose.stack.backup.manifest import ComponentRecord, FileRecord, Manifest
from compose.stack.backup.reading import parse_manifest
from compose.stack.backup.request import BackupRequest
from compose.stack.errors import Exit, Locked
from flows.backup_stack import backup_stack
from flows.walker import ThreadRunner
from tests.engine_state import docker
from tests.lab import Lab
from tests.projects import ComposeProject
from tests.store_lab import need

pytestmark = pytest.mark.engine

CANARY = "canary-of-section-eight"
STACK = """
services:
  postgres:
    image: sutazai/postgres:16.14
    environment: {POSTGRES_USER: sutazai, POSTGRES_PASSWORD: "${DB_PASSWORD}", POSTGRES_DB: sutazai}
    volumes: [postgres_data:/var/lib/postgresql/data]
    healthcheck: {test: [CMD, pg_isready, -h, 127.0.0.1], interval: 9s, start_period: 30s, start_interval: 1s}
  redis:
    image: sutazai/redis:7.0
    command:
      - sh
      - -c
      - 'printf "requirepass %s\\ndir /data\\nappendonly yes\\n" "$$REDIS_PASSWORD" | redis-server -'
    environment: {REDIS_PASSWORD: "${REDIS_SECRET}"}
    volumes: [redis_data:/data]
  chromadb:
    image: sutazai/chromadb:1.5.9
    command: [run, --path, /var/tmp, --host, 0.0.0.0, --port, "8000"]
    environment: {HOME: /tmp}
    volumes: [chromadb_data:/var/tmp]
    x-ops: {probe: {http: {port: 8000, path: /api/v2/heartbeat}}}
  ollama:
    image: sutazai/ollama:0.17.4
    environment: {OLLAMA_HOST: "0.0.0.0:11434", HOME: /var/tmp/home, OLLAMA_MODELS: /var/tmp/models}
    volumes: [ollama_data:/var/tmp]
    x-ops: {probe: {http: {port: 11434, path: /api/version}}}
volumes: {postgres_data: {}, redis_data: {}, chromadb_data: {}, ollama_data: {}}
networks: {default: {ipam: {config: [{subnet: 10.214.63.0/24}]}}}
"""


@dataclass
class Both:
    """The document's stack with a backup of ours.

    Args:
        theirs: Where the document's commands write.
    """

    project: ComposeProject
    home: Home
    place: Path
    theirs: Path
    manifest: Manifest
    second: Manifest

    def container(self, service: str) -> str:
        """A container's name."""
        return f"{self.project.name}-{service}-1"

    def script(self, line: str) -> subprocess.CompletedProcess[bytes]:
        """A line of the document's script, with the containers' real names, as it stands there: no `set -e`."""
        for service in ("postgres", "redis", "chromadb", "ollama"):
            line = line.replace(f"sutazai-{service} ", f"{self.container(service)} ")
        return subprocess.run(["bash", "-c", line], capture_output=True, cwd=self.theirs, check=False)

    def component(self, name: str, manifest: Manifest | None = None) -> ComponentRecord:
        """What we saved of a store."""
        found = (manifest or self.manifest).component(name)
        assert found is not None
        return found

    def plain(self, file: FileRecord) -> bytes:
        """A file of ours, by zstd alone."""
        (stored,) = self.place.glob(f"*/backups/{self.manifest.id}/{file.path}")
        return subprocess.run(["zstd", "-d", "-c", str(stored)], capture_output=True, check=True).stdout


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, test_images: None) -> Iterator[Both]:
    """The stack with some data, and two backups of it."""
    for image in ("postgres:16.14", "redis:7.0", "chromadb:1.5.9", "ollama:0.17.4"):
        need(f"sutazai/{image}")
    lab = Lab(tmp_path_factory.mktemp("document"))
    try:
        project = lab.scratch("document", STACK, {".env": f"DB_PASSWORD={CANARY}-1\nREDIS_SECRET={CANARY}-2\n"})
        assert lab.deploy(project).exit_code == Exit.DONE
        _fill(project.name)
        place, theirs = lab.place / "ours", lab.place / "theirs"
        for directory in (place, theirs):
            directory.mkdir(mode=0o700)
        request = BackupRequest(
            files=[project.path("compose.yml")], project_name=project.name, to=[f"ours={place}"]
        )
        home, made = Home(lab.ops_home), []
        for _ in range(2):
            report = backup_stack(request, home=home, runner=ThreadRunner())
            assert report.exit_code == Exit.DONE, report.errors
            (path,) = place.glob(f"*/backups/{report.id}/manifest.json")
            made.append(parse_manifest(path.read_bytes()))
        yield Both(project, home, place, theirs, made[0], made[1])
    finally:
        lab.close()


def _fill(project: str) -> None:
    docker("exec", f"{project}-postgres-1", "psql", "-U", "sutazai", "-c", "CREATE ROLE reports LOGIN")
    docker("exec", f"{project}-postgres-1", "createdb", "-U", "sutazai", "-O", "reports", "figures")
    docker("exec", f"{project}-redis-1", "sh", "-c", 'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli set key value')


def one_database_without_roles(both: Both) -> None:
    """`pg_dump` of one database: no roles, no other database, nobody's rights."""
    both.script('docker exec sutazai-postgres pg_dump -U sutazai sutazai > "postgres.sql"')
    dump = (both.theirs / "postgres.sql").read_text()
    assert "CREATE ROLE" not in dump
    assert "figures" not in dump
    files = {Path(file.path).name.split(".")[0]: file for file in both.component("postgres").files}
    assert {"globals", "sutazai", "figures", "postgres"} <= set(files)
    assert b"CREATE ROLE reports" in both.plain(files["globals"])


def redis_without_its_password(both: Both) -> None:
    """`redis-cli --rdb -` without the password: no snapshot, and nobody looks."""
    both.script('docker exec sutazai-redis redis-cli --rdb - > "redis.rdb"')
    theirs = (both.theirs / "redis.rdb").read_bytes()
    assert not theirs.startswith(b"REDIS") or b"value" not in theirs
    (file,) = both.component("redis").files
    ours = both.plain(file)
    assert ours.startswith(b"REDIS")
    assert b"value" in ours
    assert not ours.endswith(theirs[-40:]) or not theirs


def a_live_tar_of_chroma(both: Both) -> None:
    """A tar of a database that is written to; its paths nest when it is unpacked where it came from."""
    both.script('docker exec sutazai-chromadb tar -czf - /var/tmp > "chromadb.tar.gz"')
    with tarfile.open(both.theirs / "chromadb.tar.gz") as archive:
        assert any(name.startswith("var/tmp/") for name in archive.getnames()), "it nests"
    ours = both.component("chromadb")
    assert ours.manner == "stopped"
    assert ours.downtime
    tar = next(file for file in ours.files if file.path.endswith(".tar.zst"))
    with tarfile.open(fileobj=io.BytesIO(both.plain(tar))) as archive:
        names = archive.getnames()
    assert any(name.endswith("chroma.sqlite3") and not name.startswith("var/") for name in names)


def models_again_and_again_with_the_private_key(both: Both) -> None:
    """ "Selective" is a whole gzip of everything at every run, the private key included."""
    both.script('docker exec sutazai-ollama tar -czf - /var/tmp > "ollama.tar.gz"')
    with tarfile.open(both.theirs / "ollama.tar.gz") as archive:
        assert any(name.endswith("id_ed25519") for name in archive.getnames())
    listing = both.component("ollama").pool
    assert listing is not None
    assert b"id_ed25519" not in both.plain(listing.listing)
    again = both.component("ollama", both.second).pool
    assert again is not None
    assert (again.new_blobs, again.new_bytes) == (0, 0)


def secrets_in_clear(both: Both) -> None:
    """`cp .env`: passwords beside the data that they open."""
    env = Path(both.project.path(".env"))
    subprocess.run(["cp", str(env), str(both.theirs)], check=True)
    assert CANARY in (both.theirs / ".env").read_text()
    assert any(".env" in name for component in both.manifest.components for name in component.left_out)
    for path in both.place.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert CANARY.encode() not in data, path.name


def failures_that_nobody_sees(both: Both) -> None:
    """Without `set -euo pipefail` a dead store makes an empty file and a success."""
    docker("pause", both.container("redis"))
    try:
        script = 'docker exec nobody-here pg_dump sutazai > "dead.sql"\ncp /etc/hostname .\n'
        assert both.script(script).returncode == 0
        assert (both.theirs / "dead.sql").read_bytes() == b""
        request = BackupRequest(
            files=[both.project.path("compose.yml")], project_name=both.project.name, to=[f"ours={both.place}"],
            only=["redis"],
        )  # fmt: skip
        with pytest.raises(Exception, match="redis"):
            backup_stack(request, home=both.home, runner=ThreadRunner())
    finally:
        docker("unpause", both.container("redis"))


def no_manifest_no_checksum(both: Both) -> None:
    """Nothing says what is in a backup, nor whether it is still that."""
    assert not list(both.theirs.glob("*manifest*"))
    place = next(both.place.glob(f"*/backups/{both.manifest.id}"))
    public = place.parents[1] / "public.pem"
    argv = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", str(public), "-rawin", "-in", "manifest.json"]
    subprocess.run([*argv, "-sigfile", "manifest.json.sig"], cwd=place, capture_output=True, check=True)
    lines = "".join(f"{file.stored.sha256}  {file.path}\n" for file in both.manifest.files)
    subprocess.run(["sha256sum", "-c", "--quiet"], input=lines.encode(), cwd=place, check=True)


def tags_instead_of_images(both: Both) -> None:
    """A tag says nothing tomorrow: ids are recorded, and what no registry has is saved."""
    assert both.component("postgres").image_id.startswith("sha256:")
    pool = both.component("images").pool
    assert pool is not None
    assert pool.files >= 4


def volumes_by_a_bare_name(both: Both) -> None:
    """`-v chromadb_data:/data` makes a new empty volume: the real one has the project's prefix."""
    (place,) = both.component("chromadb").places
    assert place.source == f"{both.project.name}_chromadb_data"


def two_at_once(both: Both) -> None:
    """No lock: a second run, or a deployment, works on what is being copied."""
    from blocks.engine import Engine
    from blocks.lock import stack_lock

    request = BackupRequest(files=[both.project.path("compose.yml")], project_name=both.project.name)
    with stack_lock(Engine.connect().id, both.project.name, "deploy"), pytest.raises(Locked):
        backup_stack(request, home=both.home, runner=ThreadRunner())


def on_the_same_disk(both: Both) -> None:
    """Not refused, for one copy is better than none, but said."""
    request = BackupRequest(
        files=[both.project.path("compose.yml")], project_name=both.project.name, to=[f"ours={both.place}"],
        mode="plan",
    )  # fmt: skip
    report = backup_stack(request, home=both.home, runner=ThreadRunner())
    if both.place.stat().st_dev == Path("/var/lib/docker").stat().st_dev:
        assert any("lies on the disk of the data itself" in note for note in report.notes)


def stores_that_nobody_thought_of(both: Both) -> None:
    """FAISS, Prometheus, workspaces were never saved: here every volume of the project is, or it fails."""
    listed = docker("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={both.project.name}")
    saved = {place.source for component in both.manifest.components for place in component.places}
    assert set(listed.split()) <= saved


def nothing_says_how_to_restore(both: Both) -> None:
    """The document's restore cannot work; ours is written beside each backup, for exactly what it holds."""
    place = next(both.place.glob(f"*/backups/{both.manifest.id}"))
    text = (place / "RUNBOOK.md").read_text()
    assert all(word in text for word in ("pg_restore", "appendonlydir", "sha256sum", "openssl"))
    assert json.dumps(CANARY) not in text


ROWS: tuple[Callable[[Both], None], ...] = (
    one_database_without_roles,
    redis_without_its_password,
    a_live_tar_of_chroma,
    models_again_and_again_with_the_private_key,
    secrets_in_clear,
    failures_that_nobody_sees,
    no_manifest_no_checksum,
    tags_instead_of_images,
    volumes_by_a_bare_name,
    two_at_once,
    on_the_same_disk,
    stores_that_nobody_thought_of,
    nothing_says_how_to_restore,
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_the_documents_error_is_not_ours(row: Callable[[Both], None], both: Both) -> None:
    """What its script does, and what ours does instead: the row says which."""
    row(both)


def test_neo4j_of_version_four(test_images: None) -> None:
    """`neo4j-admin dump --database` is no command of version 5: nothing was ever saved."""
    image = next(
        (
            line
            for line in docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
            if "sutazai/neo4j" in line
        ),
        "",
    )
    if not image:
        pytest.skip("the image of Neo4j is not here")
    argv = [
        "docker",
        "run",
        "--rm",
        "--network",
        "none",
        image,
        "neo4j-admin",
        "dump",
        "--database=neo4j",
        "--to=/tmp/x",
    ]
    assert subprocess.run(argv, capture_output=True, check=False).returncode != 0

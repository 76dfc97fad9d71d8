"""A whole backup of a compose project that nobody prepared: to several targets, broken and killed on purpose."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from blocks.home import Home
from blocks.lock import stack_lock
from blocks.targets.directory import DirectoryTarget
from compose.stack.backup.manifest import Manifest
from compose.stack.backup.reading import parse_manifest
from compose.stack.backup.report import BackupReport
from compose.stack.backup.request import BackupRequest, CopyRequest, ExpireRequest, VerifyBackupRequest
from compose.stack.errors import Exit, Locked, Refused
from flows.backup_stack import backup_stack
from flows.walker import ThreadRunner
from tasks.backup import keeping, keys, proving, shelves
from tasks.steps import Plainly
from tests import images, s3_proxy
from tests.engine_state import containers, docker
from tests.lab import Lab
from tests.prefect_lab import until
from tests.projects import ComposeProject
from tests.s3_servers import ACCESS, BUCKET, SECRET, moto_server, rclone_server
from tests.store_lab import need
from tests.victims import run

pytestmark = pytest.mark.engine

DUMPING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ops-backup'"
CANARY = "canary-of-the-backup-4711"
SHOP = f"""
services:
  db:
    image: sutazai/postgres:16.14
    environment: {{POSTGRES_USER: shop, POSTGRES_PASSWORD: {CANARY}, POSTGRES_DB: shop}}
    volumes: [pg:/var/lib/postgresql/data]
    healthcheck: {{test: [CMD, pg_isready, -h, 127.0.0.1], interval: 9s, start_period: 30s, start_interval: 1s}}
  legacy:
    image: {images.BUSYBOX}
    command:
      - sh
      - -c
      - "trap 'exit 0' TERM; [ -e /data/file ] || echo precious > /data/file; while :; do sleep 0.1; done"
    volumes: [old:/data, "./settings:/etc/shop:ro"]
    depends_on: {{db: {{condition: service_healthy}}}}
  idle:
    image: {images.BUSYBOX}
    init: true
    command: [sleep, "3600"]
volumes: {{pg: {{}}, old: {{}}}}
networks: {{default: {{ipam: {{config: [{{subnet: 10.214.61.0/24}}]}}}}}}
"""
"""PostgreSQL, and a store that nobody knows, as MySQL would be: not a word of x-ops."""


class Shop:
    """The project, deployed, with its targets."""

    def __init__(self, lab: Lab, project: ComposeProject) -> None:
        self.lab, self.project, self.home = lab, project, Home(lab.ops_home)
        self.one, self.two = lab.place / "one", lab.place / "two"
        for place in (self.one, self.two):
            place.mkdir(mode=0o700)

    def request(self, kind: type[Any] = BackupRequest, **more: Any) -> Any:
        """A request about it."""
        to = more.pop("to", [f"one={self.one}"])
        return kind(files=[self.project.path("compose.yml")], project_name=self.project.name, to=to, **more)

    def back_up(self, **more: Any) -> BackupReport:
        """Back it up in this process."""
        return backup_stack(self.request(**more), home=self.home, runner=ThreadRunner())

    def manifest(self, report: BackupReport, place: Path | None = None) -> Manifest:
        """The manifest on a target."""
        (path,) = (place or self.one).glob(f"*/backups/{report.id}/manifest.json")
        return parse_manifest(path.read_bytes())

    def state(self) -> dict[str, str]:
        """Each container's state, by name."""
        return {one["Name"].lstrip("/"): one["State"]["Status"] for one in containers(self.project.name)}

    def running(self) -> bool:
        """Whether everything runs."""
        return set(self.state().values()) == {"running"}

    def sql(self, script: str) -> str:
        """What PostgreSQL says."""
        return docker("exec", f"{self.project.name}-db-1", "psql", "-U", "shop", "-Atc", script)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, test_images: None) -> Iterator[Shop]:
    """One project for all tests of this module; what they do to it they undo."""
    need("sutazai/postgres:16.14")
    lab = Lab(tmp_path_factory.mktemp("backup"))
    try:
        project = lab.scratch("backup", SHOP, {})
        (lab.place / "backup" / "settings").mkdir()
        (lab.place / "backup" / "settings" / "shop.conf").write_text("colour = blue\n")
        made = Shop(lab, project)
        assert lab.deploy(project).exit_code == Exit.DONE
        made.sql("CREATE TABLE orders AS SELECT i, md5(i::text) AS what FROM generate_series(1, 5000) i")
        yield made
    finally:
        lab.close()


def test_everything_of_a_foreign_project_is_saved_and_proven(shop: Shop) -> None:
    """Each store by its own means; what is not known is stopped for it, and everything runs afterwards."""
    report = shop.back_up(verify="content")
    assert (report.exit_code, report.errors, report.complete) == (Exit.DONE, [], True)
    manifest = shop.manifest(report)
    kinds = {component.name: component.manner.value for component in manifest.components}
    assert kinds["db"] == "online"
    assert kinds["volume-old"] == "stopped"
    assert {"configuration", "images"} <= set(kinds)
    orders = json.dumps(manifest.component("db").fingerprint)  # type: ignore[union-attr]
    assert "5000" in orders
    assert shop.running()
    downtime = manifest.component("volume-old").downtime  # type: ignore[union-attr]
    assert downtime is not None
    assert downtime > 0
    proven = proving.verify_backup(shop.request(VerifyBackupRequest, level="content"), shop.home, Plainly())
    assert (proven.exit_code, proven.errors) == (Exit.DONE, [])
    found = shelves.gather(shop.home, shop.request(VerifyBackupRequest), [f"one={shop.one}"])
    assert found.views[-1].verified == "content"
    assert found.freshness.good


def test_a_restored_dump_has_what_the_fingerprint_says(shop: Shop) -> None:
    """With zstd and pg_restore alone, as the RUNBOOK tells."""
    report = shop.back_up(only=["db"])
    (dump,) = shop.one.glob(f"*/backups/{report.id}/db/shop.dump.zst")
    name = f"{shop.project.name}-db-1"
    docker("exec", name, "createdb", "-U", "shop", "again")
    try:
        plain = subprocess.run(["zstd", "-d", "-c", str(dump)], capture_output=True, check=True).stdout
        argv = ["docker", "exec", "-i", name, "pg_restore", "-U", "shop", "--exit-on-error", "-d", "again"]
        subprocess.run(argv, input=plain, capture_output=True, check=True)
        count = docker("exec", name, "psql", "-U", "shop", "-d", "again", "-Atc", "SELECT count(*) FROM orders")
        assert count.strip() == "5000"
    finally:
        docker("exec", name, "dropdb", "-U", "shop", "again")
    manifest = shop.manifest(report)
    assert not manifest.complete, "what was not chosen is missing by name"
    assert {one.what for one in manifest.missing} >= {"volume-old", "images"}


def test_the_plan_touches_nothing(shop: Shop) -> None:
    """It names who stands still, and makes no directory on the target."""
    before, started = sorted(shop.two.rglob("*")), shop.state()
    report = shop.back_up(mode="plan", to=[f"two={shop.two}"])
    assert report.exit_code == Exit.DONE
    (row,) = [row for row in report.plan if row["component"] == "volume-old"]
    assert row["stands still"] == "legacy"
    assert (sorted(shop.two.rglob("*")), shop.state()) == (before, started)


def test_one_target_that_is_dead_does_not_stop_the_others_and_copy_completes_it(
    shop: Shop, tmp_path: Path
) -> None:
    """The run has failed all the same, with a state for each; then no store is touched again."""
    to = [f"one={shop.one}", f"far=s3://{BUCKET}/a"]
    with far_away(tmp_path) as proxy:
        proxy.fault = lambda _: s3_proxy.RESET
        with pytest.raises(Refused, match="far"):
            shop.back_up(to=to[1:], only=["db"])
        planned = shop.back_up(to=to, only=["db"], mode="plan")
        assert (planned.exit_code, len(planned.errors)) == (Exit.FAILED, 1)
        report = shop.back_up(to=to, only=["db"])
        proxy.fault = lambda _: s3_proxy.FORWARD
        states = {one.target: one.state for one in report.targets}
        assert (report.exit_code, states) == (Exit.FAILED, {"one": "complete", "far": "failed"})
        assert "far" in report.headline
        started = [one["State"]["StartedAt"] for one in containers(shop.project.name)]
        to.append(f"two={shop.two}")
        copied = keeping.copy_backup(shop.request(CopyRequest, id=report.id, to=to), shop.home, Plainly())
        assert copied.exit_code == Exit.DONE, copied.errors
        assert shop.manifest(report, shop.two) == shop.manifest(report)
        assert started == [one["State"]["StartedAt"] for one in containers(shop.project.name)]
        proven = proving.verify_backup(
            shop.request(VerifyBackupRequest, to=to, id=report.id), shop.home, Plainly()
        )
        assert (proven.exit_code, proven.errors, len(proven.rows)) == (Exit.DONE, [], 3)


def test_two_s3_servers_and_a_directory_get_the_same(shop: Shop, tmp_path: Path) -> None:
    """Other people's servers; what lies there is proven by reading it back, and the blobs are shared."""
    place = tmp_path / "rclone"
    with moto_server() as moto, rclone_server(place) as rclone, pytest.MonkeyPatch.context() as patch:
        for name, server in (("MOTO", moto), ("RCLONE", rclone)):
            patch.setenv(f"OPS_{name}_S3_ENDPOINT", server.endpoint)
            patch.setenv(f"OPS_{name}_S3_ACCESS_KEY", ACCESS)
            patch.setenv(f"OPS_{name}_S3_SECRET_KEY", SECRET)
        to = [f"moto=s3://{BUCKET}/a", f"rclone=s3://{BUCKET}/b", f"one={shop.one}"]
        report = shop.back_up(to=to, only=["db", "volume-old", "configuration"])
        states = {one.target: one.state for one in report.targets}
        assert states == dict.fromkeys(("moto", "rclone", "one"), "complete")
        request = shop.request(VerifyBackupRequest, to=to, id=report.id)
        proven = proving.verify_backup(request, shop.home, Plainly())
        assert (proven.exit_code, proven.errors, len(proven.rows)) == (Exit.DONE, [], 3)
        assert SECRET not in report.model_dump_json()


@contextmanager
def far_away(place: Path) -> Iterator[s3_proxy.Proxy]:
    """A server named `far`, and what stands before it."""
    with (
        rclone_server(place / "rclone") as rclone,
        s3_proxy.proxy_before(rclone.port) as proxy,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("OPS_FAR_S3_ENDPOINT", proxy.endpoint)
        patch.setenv("OPS_FAR_S3_ACCESS_KEY", ACCESS)
        patch.setenv("OPS_FAR_S3_SECRET_KEY", SECRET)
        yield proxy


FAULTS = {
    "it breaks": lambda call: s3_proxy.BREAK if "/backups/" in call.key and call.bytes else s3_proxy.FORWARD,
    "it goes away": lambda call: s3_proxy.RESET if "/backups/" in call.key else s3_proxy.FORWARD,
    "it denies": lambda call: s3_proxy.DENY if "/backups/" in call.key and call.bytes else s3_proxy.FORWARD,
    "it cuts what it answers": lambda call: s3_proxy.CUT if call.operation == "GetObject" else s3_proxy.FORWARD,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_in_the_middle_fails_alone(shop: Shop, tmp_path: Path, fault: str) -> None:
    """The directory has the backup, the report says which target has not; once it is well, `copy` completes it."""
    with far_away(tmp_path) as proxy:
        to = [f"one={shop.one}", f"far=s3://{BUCKET}/a"]
        shop.back_up(to=to, only=["configuration"])  # the place is ours from now on
        proxy.fault = FAULTS[fault]
        report = shop.back_up(to=to, only=["db", "volume-old"])
        proxy.fault = lambda _: s3_proxy.FORWARD
        states = {one.target: one.state for one in report.targets}
        assert (report.exit_code, states) == (Exit.FAILED, {"one": "complete", "far": "failed"}), report.errors
        assert any("far" in error for error in report.errors)
        assert SECRET not in report.model_dump_json()
        assert shop.running()
        started = [one["State"]["StartedAt"] for one in containers(shop.project.name)]
        copied = keeping.copy_backup(shop.request(CopyRequest, id=report.id, to=to), shop.home, Plainly())
        assert copied.exit_code == Exit.DONE, copied.errors
        assert started == [one["State"]["StartedAt"] for one in containers(shop.project.name)]
        request = shop.request(VerifyBackupRequest, to=to, id=report.id)
        proven = proving.verify_backup(request, shop.home, Plainly())
        assert (proven.exit_code, proven.errors, len(proven.rows)) == (Exit.DONE, [], 2)


def test_a_slow_server_is_no_failure(shop: Shop, tmp_path: Path) -> None:
    """It takes its time; nothing else does."""
    with far_away(tmp_path) as proxy:
        proxy.pause = 0.1
        report = shop.back_up(to=[f"one={shop.one}", f"far=s3://{BUCKET}/a"], only=["db", "volume-old"])
    assert (report.exit_code, report.errors) == (Exit.DONE, [])


def test_a_store_that_is_killed_in_the_middle(shop: Shop) -> None:
    """Its dump has failed, or was made again when it was back; never is half of one taken for the whole."""
    name = f"{shop.project.name}-db-1"
    shop.sql("CREATE TABLE wide AS SELECT i, repeat(md5(i::text), 30) AS what FROM generate_series(1, 300000) i")

    def dumping() -> bool:
        words = ["docker", "exec", name, "psql", "-U", "shop", "-Atc", DUMPING]
        return subprocess.run(words, capture_output=True).stdout.strip() not in (b"", b"0")

    try:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(shop.back_up, only=["db", "configuration"])
            until(lambda: dumping() or running.done(), 60, "a dump is under way")
            assert not running.done(), running.result()
            docker("kill", "-s", "KILL", name)
            docker("start", name)
            report = running.result(180)
        until(shop.running, 60, f"{shop.state()}")
        states = {one.component: one.state for one in report.components}
        expected = "saved" if report.exit_code == Exit.DONE else "failed"
        assert states == {"db": expected, "configuration": "saved"}
        if report.exit_code == Exit.DONE:
            request = shop.request(VerifyBackupRequest, id=report.id, level="content")
            assert proving.verify_backup(request, shop.home, Plainly()).errors == []
        else:
            assert any(error.startswith("db:") for error in report.errors)
    finally:
        until(lambda: "1" in subprocess.run(
            ["docker", "exec", name, "psql", "-U", "shop", "-Atc", "SELECT 1"], capture_output=True, text=True
        ).stdout, 60, "PostgreSQL is back")  # fmt: skip
        shop.sql("DROP TABLE wide")
    assert shop.back_up(only=["db"]).exit_code == Exit.DONE


def test_a_full_target_fails_alone(shop: Shop) -> None:
    """A small file system of the test's own: the other target has the backup, the report says which has not."""
    small = shop.lab.place / "small"
    small.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "t-small", str(small)], check=True)
    try:
        report = shop.back_up(to=[f"one={shop.one}", f"small={small}"], only=["db", "volume-old"])
    finally:
        left = [path for path in small.rglob("*") if path.is_file() and "/backups/" in str(path)]
        subprocess.run(["umount", str(small)], check=True)
    states = {one.target: one.state for one in report.targets}
    assert (report.exit_code, states) == (Exit.FAILED, {"one": "complete", "small": "failed"})
    assert not any(path.name == "manifest.json" for path in left)
    assert shop.running()


def test_a_component_that_fails_is_missing_by_name_and_the_rest_is_saved(shop: Shop) -> None:
    """A partial success is no success, and loses nothing of what could be saved."""
    name = f"{shop.project.name}-db-1"
    docker("pause", name)
    try:
        report = shop.back_up(only=["db", "volume-old"])
    finally:
        docker("unpause", name)
    assert report.exit_code == Exit.FAILED
    states = {one.component: one.state for one in report.components}
    assert states == {"db": "failed", "volume-old": "saved"}
    assert {one.what for one in shop.manifest(report).missing} >= {"db"}
    assert "failed: db" in report.headline.replace("db failed", "failed: db")


def test_another_host_is_refused_by_name(shop: Shop, tmp_path: Path) -> None:
    """Two installations never write to one place, unless somebody says that the other one is gone."""
    request = shop.request()
    with pytest.raises(Refused, match="t-backup"):
        backup_stack(request, home=Home(tmp_path / "other-home"), runner=ThreadRunner())


def test_nobody_else_changes_the_stack_meanwhile(shop: Shop) -> None:
    """A deployment that holds the lock is waited for by nobody: the backup is refused with the holder's name."""
    from blocks.engine import Engine

    with stack_lock(Engine.connect().id, shop.project.name, "deploy"), pytest.raises(Locked, match="deploy"):
        shop.back_up()


def test_a_store_on_no_volume_fails_the_backup(shop: Shop) -> None:
    """Its data would be lost with its container; nothing is saved as if all were well."""
    text = """
services:
  db:
    image: sutazai/postgres:16.14
    environment: {POSTGRES_PASSWORD: x, PGDATA: /elsewhere/data}
    tmpfs: ["/elsewhere:mode=1777"]
    volumes: [pg:/var/lib/postgresql/data]
volumes: {pg: {}}
networks: {default: {ipam: {config: [{subnet: 10.214.62.0/24}]}}}
"""
    lab = Lab(shop.lab.place / "lost")
    lab.place.mkdir()
    try:
        project = lab.scratch("lost", text)
        docker(*project.compose("up", "-d"))
        request = BackupRequest(files=[project.path("compose.yml")], project_name=project.name, to=[str(shop.two)])
        with pytest.raises(Refused, match="lies on no volume"):
            backup_stack(request, home=Home(lab.ops_home), runner=ThreadRunner())
    finally:
        lab.close()


def test_one_moment_for_all_stores(shop: Shop) -> None:
    """Who writes to them stands still; the report has the measured time, and all of it runs afterwards."""
    report = shop.back_up(consistency=True)
    assert report.exit_code == Exit.DONE, report.errors
    point = shop.manifest(report).consistency
    assert point is not None
    assert (point.writers, report.writers) == (("legacy",), ["legacy"])
    assert point.seconds > 0
    assert shop.running()
    with pytest.raises(Refused, match="stand still"):
        shop.back_up(consistency=True, writers_stop=0.5)


def test_encrypted_once_somebody_has_proven_the_key(shop: Shop, tmp_path: Path) -> None:
    """Unproven recipients are refused; then secrets are in it, none in clear, and only the key opens it."""
    key = tmp_path / "backup.key"
    recipient = keys.new(shop.home, key)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPS_BACKUP_RECIPIENTS", recipient)
        with pytest.raises(Refused, match=r"key prove"):
            shop.back_up()
        assert keys.prove(shop.home, str(key)) == (recipient,)
        report = shop.back_up()
    assert report.exit_code == Exit.DONE, report.errors
    assert report.left_out == []
    assert CANARY not in report.model_dump_json()
    place = next(shop.one.glob(f"*/backups/{report.id}"))
    for path in place.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path.name
    request = shop.request(VerifyBackupRequest, id=report.id, level="content")
    without = proving.verify_backup(request, shop.home, Plainly())
    assert without.exit_code == Exit.FAILED, "what nobody could read is not proven"
    proven = proving.verify_backup(request.model_copy(update={"identity": str(key)}), shop.home, Plainly())
    assert (proven.exit_code, proven.errors) == (Exit.DONE, [])


def test_what_was_read_while_it_was_saved_needs_no_key_later(shop: Shop, tmp_path: Path) -> None:
    """Its bytes are still those, and a changed byte is found as ever."""
    key = tmp_path / "backup.key"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPS_BACKUP_RECIPIENTS", keys.new(shop.home, key))
        keys.prove(shop.home, str(key))
        report = shop.back_up(verify="content")
    request = shop.request(VerifyBackupRequest, id=report.id, level="content")
    told = proving.verify_backup(request, shop.home, Plainly())
    assert (told.exit_code, told.errors) == (Exit.DONE, [])
    assert "while they were saved" in told.headline
    found = shelves.gather(shop.home, shop.request(VerifyBackupRequest), [f"one={shop.one}"])
    assert next(view for view in found.views if view.id == report.id).verified == "content"
    place = next(shop.one.glob(f"*/backups/{report.id}"))
    assert len(list((place / "records").glob("*.json"))) == 2, "one when it was saved, one of today"
    dump = place / "db" / "shop.dump.zst.age"
    data = bytearray(dump.read_bytes())
    data[len(data) // 2] ^= 1
    dump.write_bytes(bytes(data))
    assert proving.verify_backup(request, shop.home, Plainly()).exit_code == Exit.FAILED


def test_without_recipients_secrets_are_left_out_by_name(shop: Shop) -> None:
    """Nothing secret lies on a target in clear, nor is it printed."""
    report = shop.back_up()
    assert report.left_out
    for path in shop.one.rglob(f"*{report.id}/**/*"):
        data = path.read_bytes() if path.is_file() else b""
        if path.suffix == ".zst":
            data = subprocess.run(["zstd", "-d", "-c", str(path)], capture_output=True, check=True).stdout
        if not str(path).endswith(("shop.dump.zst",)):
            assert CANARY.encode() not in data, path.name
    assert CANARY not in report.model_dump_json()


@pytest.mark.parametrize("where", [0.0, 0.5, 1.0], ids=["first", "middle", "last"])
def test_a_flipped_bit_is_found(shop: Shop, where: float) -> None:
    """Wherever it is, and by name."""
    report = shop.back_up(only=["db"])
    (dump,) = shop.one.glob(f"*/backups/{report.id}/db/shop.dump.zst")
    data = bytearray(dump.read_bytes())
    data[min(int(len(data) * where), len(data) - 1)] ^= 0x10
    dump.write_bytes(data)
    proven = proving.verify_backup(shop.request(VerifyBackupRequest, id=report.id), shop.home, Plainly())
    assert proven.exit_code == Exit.FAILED
    assert any("shop.dump" in error for error in proven.errors)
    found = shelves.gather(shop.home, shop.request(VerifyBackupRequest), [f"one={shop.one}"])
    assert "damaged" in next(view for view in found.views if view.id == report.id).problem


def test_expiry_shows_first_and_never_takes_the_best(shop: Shop) -> None:
    """Without --apply nothing goes; with it only what no rule keeps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPS_BACKUP_KEEP", "last=1,minimum=1")
        request = shop.request(ExpireRequest)
        before = sorted(shop.one.glob("*/backups/*/manifest.json"))
        shown = keeping.expire_backups(request, shop.home, Plainly())
        assert sorted(shop.one.glob("*/backups/*/manifest.json")) == before
        assert any(row["what"] == "would go" for row in shown.rows)
        with pytest.MonkeyPatch.context() as broken:
            broken.setattr(DirectoryTarget, "delete", _cannot)
            stays = keeping.expire_backups(request.model_copy(update={"apply": True}), shop.home, Plainly())
        assert (stays.exit_code, sorted(shop.one.glob("*/backups/*/manifest.json"))) == (Exit.FAILED, before)
        assert {row["what"] for row in stays.rows} == {"kept", "not removed"}
        assert " 0 removed" in stays.headline
        done = keeping.expire_backups(request.model_copy(update={"apply": True}), shop.home, Plainly())
        assert done.exit_code == Exit.DONE, done.errors
    left = shelves.gather(shop.home, request, [f"one={shop.one}"])
    assert any(view.good and view.verified == "content" for view in left.views), "the best proven one stays"
    assert len(left.views) < len(before)


def _cannot(target: DirectoryTarget, key: str) -> None:
    raise Refused("we cannot delete there", where=f"{target.name}: {key}")


STEPS = ("save:db begin", "open:volume-old begin", "open:volume-old end", "save:volume-old end", "seal begin")


@pytest.mark.parametrize("moment", STEPS)
def test_killed_at_a_named_step_and_then_again(shop: Shop, moment: str) -> None:
    """No false success, nothing left behind, everything up again without anybody; then it succeeds."""
    _killed(shop, halt_at=moment)


def test_killed_at_any_moment(shop: Shop) -> None:
    """Seeded moments in mid-stream."""
    chance = random.Random(int(os.environ.get("OPS_TEST_SEED", "2026")))
    for _ in range(int(os.environ.get("OPS_TEST_KILLS", "30")) // 6):
        _killed(shop, kill_after=chance.uniform(0.0, 6.0))


def _killed(shop: Shop, **how: Any) -> None:
    whole = set(shop.one.glob("*/backups/*/manifest.json"))
    request = shop.request()
    ended = run(lambda runner: backup_stack(request, home=shop.home, runner=runner), **how)  # type: ignore
    if ended.code is None:
        until(shop.running, 120, f"{shop.state()} after a kill at {how}")
        for manifest in set(shop.one.glob("*/backups/*/manifest.json")) - whole:  # killed after the last step
            looked = shop.request(VerifyBackupRequest, id=manifest.parent.name)
            assert proving.verify_backup(looked, shop.home, Plainly()).errors == [], "no false success"
    report = shop.back_up()
    assert report.exit_code == Exit.DONE, (how, report.errors)
    unfinished = [p for p in shop.one.glob("*/backups/*") if not (p / "manifest.json").exists()]
    assert unfinished == []
    assert not list(shop.one.rglob("*.partial*"))
    assert list((shop.home.path / "spool").iterdir()) == []
    until(lambda: shop.sql(DUMPING).strip() == "0", 60, "a dump of a dead run goes on")
    assert shop.running()

"""Prometheus saved by a snapshot of its own."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from blocks.engine import Engine
from blocks.polling import poll
from compose.stack.backup.component import Kind
from compose.stack.errors import Failed
from tasks.backup.leftovers import sweep_snapshots
from tasks.backup.procedure import Saved, Saving
from tasks.backup.prometheus import PrometheusProcedure
from tests.fakes.backup_files import MemoryFiles
from tests.store_lab import container, saving

pytestmark = [pytest.mark.engine, pytest.mark.stack]

IMAGE = "sutazai/prometheus:2.42"
CONFIG = (
    "printf 'scrape_configs: [{job_name: p, scrape_interval: 1s, static_configs: [{targets: [localhost:9090]}]}]'"
)


@contextmanager
def server(*flags: str) -> Iterator[Any]:
    run = f"{CONFIG} > /tmp/p.yml; exec prometheus --config.file=/tmp/p.yml --storage.tsdb.path=/prometheus"
    command = ["-c", " ".join((run, *flags))]
    with container(IMAGE, "t-backup-prometheus", command, entrypoint=["sh"]) as made:
        base = f"http://{made.attrs['NetworkSettings']['IPAddress']}:9090"
        assert poll(lambda: _scraped(base), 60), made.logs().decode()
        yield made


def _scraped(base: str) -> bool:
    try:
        found = httpx.get(f"{base}/api/v1/query", params={"query": "up"}, timeout=5, trust_env=False).json()
    except (httpx.HTTPError, ValueError):
        return False
    return bool(found["data"]["result"])


def save(given: Saving) -> Saved:
    procedure = PrometheusProcedure(given)
    try:
        procedure.open()
        return procedure.save()
    finally:
        procedure.close()
        procedure.close()


def snapshots(made: Any) -> str:
    return str(made.exec_run(["ls", "/prometheus/snapshots"]).output.decode().strip())


def test_a_snapshot_is_archived_and_removed(tmp_path: Path) -> None:
    """The archive extracts into a data directory, promtool reads its blocks, and the server keeps no copy."""
    files = MemoryFiles()
    with server("--web.enable-admin-api") as made:
        saved = save(saving(made, Kind.PROMETHEUS, tmp_path, files, verify="content"))
        assert snapshots(made) == ""
    with tarfile.open(fileobj=io.BytesIO(files.plain["prometheus/snapshot.tar"])) as archive:
        names = [name.removeprefix("./") for name in archive.getnames()]
    assert any(name.endswith("/meta.json") and name.count("/") == 1 for name in names), names
    assert saved.fingerprint["blocks"] >= 1
    assert saved.checked == "content"
    assert saved.tool_version.startswith("2.")


def test_a_failure_leaves_no_snapshot(tmp_path: Path) -> None:
    """The target fails in mid-stream: the snapshot is removed and no scratch container stays."""
    with server("--web.enable-admin-api") as made:
        given = saving(made, Kind.PROMETHEUS, tmp_path, verify="content")

        def full(_: int) -> None:
            raise Failed("no space left", where="target")

        given.progress = full
        with pytest.raises(Failed, match="no space left"):
            save(given)
        assert snapshots(made) == ""
    assert not Engine.connect().client.containers.list(all=True, filters={"label": "org.sutazai.scratch"})


def test_the_snapshot_of_a_killed_backup_is_removed_by_the_next_one(tmp_path: Path) -> None:
    """It was noted when it was made."""
    with server("--web.enable-admin-api") as made:
        given = saving(made, Kind.PROMETHEUS, tmp_path)
        PrometheusProcedure(given).open()
        assert snapshots(made)
        sweep_snapshots(given.work, [given.component])
        assert snapshots(made) == ""


def test_without_the_admin_interface_it_says_so(tmp_path: Path) -> None:
    """The interface is off: Failed, with the server's own words."""
    with server() as made, pytest.raises(Failed, match="snapshot"):
        save(saving(made, Kind.PROMETHEUS, tmp_path))

"""Qdrant saved by its snapshots: against the real server where its image is here, else against our simulator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from blocks.polling import poll
from compose.stack.backup.component import Kind
from compose.stack.errors import Failed
from tasks.backup.leftovers import sweep_snapshots
from tasks.backup.procedure import Saved, Saving
from tasks.backup.qdrant import QdrantProcedure
from tests import images, simulators
from tests.fakes.backup_files import MemoryFiles
from tests.store_lab import container, saving

pytestmark = [pytest.mark.engine, pytest.mark.stack]

REAL = "qdrant/qdrant:v1.15.5"
ODD = "odd_name-2.1"
TIMES = httpx.Timeout(10.0)


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The real server's image, or the simulator's."""
    if images.present(REAL):
        yield REAL
        return
    if not images.present(simulators.BASE):
        pytest.skip(f"neither {REAL} nor the simulator's base is here")
    yield simulators.qdrant_image()
    simulators.remove_images()


@contextmanager
def server(image: str, **how: Any) -> Iterator[tuple[Any, httpx.Client]]:
    with container(image, "t-backup-qdrant", **how) as made:
        base = f"http://{made.attrs['NetworkSettings']['IPAddress']}:6333"
        with httpx.Client(base_url=base, timeout=TIMES, trust_env=False) as client:
            assert poll(lambda: _ready(client), 30), made.logs().decode()
            yield made, client


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.HTTPError:
        return False


def fill(client: httpx.Client) -> None:
    for name, count in (("plain", 5), (ODD, 3)):
        vectors = {"vectors": {"size": 2, "distance": "Dot"}}
        assert client.put(f"/collections/{name}", json=vectors).is_success
        points = [{"id": i, "vector": [i, 1.0], "payload": {"n": i}} for i in range(count)]
        assert client.put(f"/collections/{name}/points?wait=true", json={"points": points}).is_success
    action = {"create_alias": {"alias_name": "current", "collection_name": "plain"}}
    assert client.post("/collections/aliases", json={"actions": [action]}).is_success


def left(client: httpx.Client) -> list[Any]:
    return [
        one for name in ("plain", ODD) for one in client.get(f"/collections/{name}/snapshots").json()["result"]
    ]


def save(given: Saving) -> Saved:
    procedure = QdrantProcedure(given)
    try:
        procedure.open()
        return procedure.save()
    finally:
        procedure.close()
        procedure.close()


def test_collections_and_aliases_are_saved_and_come_back(image: str, tmp_path: Path) -> None:
    """Every collection by a snapshot that has its checksum; on a fresh server the points and aliases are there;
    no snapshot stays on the first one."""
    files = MemoryFiles()
    with server(image) as (made, client):
        fill(client)
        saved = save(saving(made, Kind.QDRANT, tmp_path, files, verify="content"))
        assert left(client) == []
    collections = saved.fingerprint["collections"]
    assert set(collections) == {"plain", ODD}
    assert saved.fingerprint["points"] == 8
    assert saved.checked == "content"
    for one in collections.values():
        assert hashlib.sha256(files.plain[f"qdrant/{one['file']}"]).hexdigest() == one["checksum"]
    aliases = json.loads(files.plain["qdrant/aliases.json"])
    assert aliases == [{"alias_name": "current", "collection_name": "plain"}]
    with server(image) as (_, fresh):
        for name, one in collections.items():
            query = {"priority": "snapshot", "wait": "true", "checksum": one["checksum"]}
            data = {"snapshot": files.plain[f"qdrant/{one['file']}"]}
            assert fresh.post(f"/collections/{name}/snapshots/upload", params=query, files=data).is_success
            found = fresh.post(f"/collections/{name}/points/count", json={"exact": True}).json()["result"]["count"]
            assert found == one["points_after"]


def test_a_failure_leaves_no_snapshot_on_the_server(image: str, tmp_path: Path) -> None:
    """The target fails in mid-stream: all snapshots are deleted, those that were not fetched yet too."""
    files = MemoryFiles()
    with server(image) as (made, client):
        fill(client)
        given = saving(made, Kind.QDRANT, tmp_path, files)

        def full(_: int) -> None:
            if len(files.begun) > 1:
                raise Failed("no space left", where="target")

        given.progress = full
        with pytest.raises(Failed, match="no space left"):
            save(given)
        assert left(client) == []
    assert list(files.plain) == ["qdrant/aliases.json"]


def test_snapshots_of_a_killed_backup_are_removed_by_the_next_one(image: str, tmp_path: Path) -> None:
    """What it noted is deleted on the server; somebody's own snapshot is not."""
    with server(image) as (made, client):
        fill(client)
        theirs = client.post("/collections/plain/snapshots?wait=true").json()["result"]["name"]
        given = saving(made, Kind.QDRANT, tmp_path)
        QdrantProcedure(given).open()
        assert len(left(client)) > 1
        sweep_snapshots(given.work, [given.component])
        assert [one["name"] for one in left(client)] == [theirs]


def test_bytes_that_differ_from_their_checksum_are_no_backup(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server tells another checksum than that of its bytes: Failed by name, nothing is kept of the file."""
    files = MemoryFiles()
    with server(image) as (made, client):
        fill(client)
        procedure = QdrantProcedure(saving(made, Kind.QDRANT, tmp_path, files))
        procedure.open()
        wrong = [type(one)(one.collection, one.name, one.size, "0" * 64) for one in procedure.made]
        procedure.made[:] = wrong
        with pytest.raises(Failed, match="differs from its checksum"):
            procedure.save()
        procedure.close()
        assert left(client) == []
    assert not any(path.endswith(".snapshot") for path in files.plain)


def test_a_server_that_cannot_be_reached_is_named(image: str, tmp_path: Path) -> None:
    """Without a network there is no way to it: Failed with what to do."""
    with container(image, "t-backup-qdrant", network_mode="none") as made:
        with pytest.raises(Failed, match="no address") as raised:
            save(saving(made, Kind.QDRANT, tmp_path))
        assert "x-ops.backup.kind" in raised.value.next

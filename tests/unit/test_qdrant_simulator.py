"""The Qdrant simulator answers as Qdrant's documentation says; it is for tests only and says so."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.simulators import qdrant


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a simulator in this process."""
    server = qdrant.Server(0, tmp_path / "storage", tmp_path / "snapshots")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
            yield client
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fill(client: httpx.Client, count: int = 3) -> None:
    """A collection `notes` with some points and an alias `current`."""
    made = client.put("/collections/notes", json={"vectors": {"size": 2, "distance": "Cosine"}})
    assert made.json()["result"] is True
    points = [{"id": n, "vector": [n, 1], "payload": {"text": f"note {n}"}} for n in range(count)]
    done = client.put("/collections/notes/points?wait=true", json={"points": points}).json()
    assert done["result"]["status"] == "completed"
    actions = [{"create_alias": {"alias_name": "current", "collection_name": "notes"}}]
    assert client.post("/collections/aliases", json={"actions": actions}).json()["result"] is True


def test_it_says_what_it_is(client: httpx.Client) -> None:
    """Nobody takes it for the real one; version and readiness are where Qdrant has them."""
    assert client.get("/").json() == {"title": "qdrant simulator, for tests only", "version": qdrant.VERSION}
    assert client.get("/readyz").status_code == 200


def test_points_are_counted_and_paged(client: httpx.Client) -> None:
    """By name and by alias; pages follow each other without gap; replaced points count once."""
    fill(client)
    fill_again = {"points": [{"id": 2, "vector": [0, 0], "payload": {"text": "new"}}]}
    client.put("/collections/current/points?wait=true", json=fill_again)
    assert client.post("/collections/current/points/count", json={"exact": True}).json()["result"] == {"count": 3}
    assert client.get("/collections/notes").json()["result"]["points_count"] == 3
    seen, offset = [], None
    while True:
        asked = {"limit": 2, "offset": offset, "with_payload": True}
        page = client.post("/collections/notes/points/scroll", json=asked).json()["result"]
        seen += page["points"]
        offset = page["next_page_offset"]
        if offset is None:
            break
    assert [point["id"] for point in seen] == [0, 1, 2]
    assert seen[2] == {"id": 2, "payload": {"text": "new"}}


def test_a_snapshot_brings_a_collection_back_without_its_aliases(client: httpx.Client) -> None:
    """Its size and SHA-256 are as told; on the server it can be listed and deleted."""
    fill(client)
    told = client.post("/collections/notes/snapshots?wait=true").json()["result"]
    content = client.get(f"/collections/notes/snapshots/{told['name']}").content
    assert (len(content), hashlib.sha256(content).hexdigest()) == (told["size"], told["checksum"])
    assert client.get("/collections/notes/snapshots").json()["result"] == [told]
    assert client.delete(f"/collections/notes/snapshots/{told['name']}").json()["result"] is True
    assert client.get("/collections/notes/snapshots").json()["result"] == []
    assert client.delete("/collections/notes").json()["result"] is True
    where = "/collections/back/snapshots/upload?priority=snapshot&wait=true"
    done = client.post(f"{where}&checksum={told['checksum']}", files={"snapshot": content})
    assert done.json()["result"] is True
    assert client.post("/collections/back/points/count", json={}).json()["result"] == {"count": 3}
    assert client.get("/aliases").json()["result"] == {"aliases": []}


def test_what_is_wrong_is_refused(client: httpx.Client) -> None:
    """A second collection of a name, another dimension, what is not there, a snapshot that was changed or cut."""
    fill(client)
    assert client.put("/collections/notes", json={"vectors": {"size": 2}}).status_code == 409
    bad = {"points": [{"id": 9, "vector": [1, 2, 3]}]}
    answer = client.put("/collections/notes/points?wait=true", json=bad)
    assert (answer.status_code, "expected dim: 2, got 3" in answer.text) == (400, True)
    assert client.post("/collections/none/points/count", json={}).status_code == 404
    told = client.post("/collections/notes/snapshots?wait=true").json()["result"]
    content = client.get(f"/collections/notes/snapshots/{told['name']}").content
    for query in (f"?checksum={told['checksum']}", ""):
        sent = client.post(f"/collections/other/snapshots/upload{query}", files={"snapshot": content[:600]})
        assert sent.status_code == 400
    assert client.get("/collections").json()["result"]["collections"] == [{"name": "notes"}]


def test_it_keeps_everything_in_its_folders(client: httpx.Client, tmp_path: Path) -> None:
    """A new one in the same place has the same collections and aliases."""
    fill(client)
    again = qdrant.Storage(tmp_path / "storage", tmp_path / "snapshots")
    assert (again.names(), again.aliases()) == (["notes"], {"current": "notes"})
    assert len(again.points("current")) == 3

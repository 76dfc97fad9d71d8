"""The FAISS service's store and its routes, over an engine of plain lists; the real one runs in its image."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from faiss_service.app import create
from faiss_service.errors import ApiError, Damaged
from faiss_service.settings import Settings
from faiss_service.store import Store
from fastapi.testclient import TestClient

LOGIN = {"Authorization": "Bearer canary-token"}


@dataclass
class Rows:
    """An index as a list."""

    rows: dict[int, list[float]] = field(default_factory=dict)

    @property
    def ntotal(self) -> int:
        """How many vectors there are."""
        return len(self.rows)


class Lists:
    """An engine without FAISS: squared distances, JSON on the disk. `fails` is raised by the next write."""

    def __init__(self) -> None:
        self.fails: Exception | None = None

    def make(self, dimension: int, metric: str) -> Rows:
        return Rows()

    def added(self, index: Rows, metric: str, vectors: Sequence[Sequence[float]], ids: Sequence[int]) -> Rows:
        return Rows({**index.rows, **dict(zip(ids, map(list, vectors), strict=True))})

    def search(self, index: Rows, metric: str, vectors: Any, count: int) -> list[list[dict[str, float | int]]]:
        def near(wanted: Sequence[float]) -> list[dict[str, float | int]]:
            pairs = [
                {"id": key, "score": sum((a - b) ** 2 for a, b in zip(row, wanted, strict=True))}
                for key, row in index.rows.items()
            ]
            return sorted(pairs, key=lambda pair: pair["score"])[:count]

        return [near(vector) for vector in vectors]

    def write(self, index: Rows, path: Path) -> None:
        path.write_text(json.dumps(list(index.rows.items())))
        if self.fails:
            raise self.fails

    def read(self, path: Path) -> Rows:
        try:
            return Rows({int(key): row for key, row in json.loads(path.read_text())})
        except ValueError as error:
            raise Damaged("no list") from error


def opened(place: Path, engine: Lists | None = None, most: int = 10) -> Store:
    """A store of a directory, read anew."""
    store = Store(place, engine or Lists(), within=1, most=most)
    store.load()
    return store


def test_what_was_answered_is_there_after_a_restart(tmp_path: Path) -> None:
    """Index, vectors, ids and the next id; of each index one file and its record."""
    store = opened(tmp_path)
    store.create("notes", 2, "l2")
    assert store.add("notes", [[1, 0], [0, 1]], None)[1] == [0, 1]
    again = opened(tmp_path)
    assert again.search("notes", [[0, 0.9]], 1)[0][0]["id"] == 1
    assert again.add("notes", [[5, 5]], None)[1] == [2]
    assert again.all()[0].ntotal == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.3.index", "notes.json"]


def test_a_write_that_fails_changes_nothing(tmp_path: Path) -> None:
    """A full disk: memory and disk are as they were, and the next write succeeds."""
    engine = Lists()
    store = opened(tmp_path, engine)
    store.create("notes", 1, "l2")
    engine.fails = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        store.add("notes", [[1]], None)
    assert store.all()[0].ntotal == 0
    engine.fails = None
    store.add("notes", [[1]], None)
    assert opened(tmp_path).all()[0].ntotal == 1


def test_a_write_that_was_cut_short_is_swept_away(tmp_path: Path) -> None:
    """Killed before the record was renamed: the earlier state counts, the leftovers go."""
    store = opened(tmp_path)
    store.create("notes", 1, "l2")
    (tmp_path / "notes.2.index").write_text("[]")
    (tmp_path / "notes.3.index.unfinished").write_text("[")
    assert opened(tmp_path).all()[0].generation == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.1.index", "notes.json"]


def test_damage_is_named_and_nothing_of_it_removed(tmp_path: Path) -> None:
    """A flipped byte: 503 for that index, the others serve; it can be removed, not made over."""
    store = opened(tmp_path)
    for name in ("good", "bad"):
        store.create(name, 1, "l2")
        store.add(name, [[1]], None)
    file = tmp_path / "bad.2.index"
    file.write_bytes(file.read_bytes().replace(b"1", b"2"))
    again = opened(tmp_path)
    assert again.damaged == {"bad": "bad.2.index is not what was written"}
    assert again.search("good", [[1]], 1)[0]
    for refused in (lambda: again.search("bad", [[1]], 1), lambda: again.create("bad", 1, "l2")):
        with pytest.raises(ApiError, match="bad is damaged"):
            refused()
    assert file.exists()
    again.remove("bad")
    assert again.create("bad", 1, "l2")[1]


def test_an_index_has_a_limit(tmp_path: Path) -> None:
    """More vectors than MAX_VECTORS are 413, as each write puts all of them on the disk."""
    store = opened(tmp_path, most=2)
    store.create("notes", 1, "l2")
    with pytest.raises(ApiError, match="more than 2 vectors") as refusal:
        store.add("notes", [[1], [2], [3]], None)
    assert refusal.value.status == 413


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    """The routes over a store of plain lists."""
    settings = Settings("canary-token", tmp_path, write_within=0.1)
    return TestClient(create(settings, opened(tmp_path)))


def test_everything_that_changes_needs_the_token(client: TestClient) -> None:
    """Each POST and DELETE without it, or with another, is 401; health and list are open."""
    bodies: dict[str, dict[str, Any]] = {
        "/create_index": {"index": "a", "dimension": 1},
        "/add_vectors": {"index": "a", "vectors": [[1]]},
        "/search": {"index": "a", "vectors": [[1]]},
        "/quiesce?seconds=1": {},
    }
    for path, body in bodies.items():
        for login in ({}, {"Authorization": "Bearer other"}):
            assert client.post(path, json=body, headers=login).status_code == 401
    assert client.delete("/indexes/a").status_code == 401
    assert client.get("/indexes").json() == {"indexes": [], "damaged": {}}
    assert client.get("/health").json()["status"] == "healthy"


def test_the_routes_do_their_job(client: TestClient) -> None:
    """Make, make again, add, replace by id, search, count, remove; other dimensions are 409."""
    made = {"index": "a", "dimension": 1}
    assert client.post("/create_index", json=made, headers=LOGIN).json()["created"] is True
    assert client.post("/create_index", json=made, headers=LOGIN).json()["created"] is False
    assert client.post("/create_index", json={**made, "dimension": 2}, headers=LOGIN).status_code == 409
    added = {"index": "a", "vectors": [[1], [2]], "ids": [7, 8]}
    for _ in range(2):
        assert client.post("/add_vectors", json=added, headers=LOGIN).json()["ntotal"] == 2
    found = client.post("/search", json={"index": "a", "vectors": [[2]], "k": 1}, headers=LOGIN).json()
    assert found["results"] == [[{"id": 8, "score": 0}]]
    assert client.get("/indexes").json()["indexes"][0]["ntotal"] == 2
    assert client.delete("/indexes/a", headers=LOGIN).status_code == 204
    assert client.post("/search", json={"index": "a", "vectors": [[2]]}, headers=LOGIN).status_code == 404


def test_quiet_time_is_told_and_holds_writes(client: TestClient) -> None:
    """A write that may not wait so long is 503 with the reason; searching and health go on."""
    client.post("/create_index", json={"index": "a", "dimension": 1}, headers=LOGIN)
    assert client.post("/quiesce?seconds=30", headers=LOGIN).json()["quiet_for"] > 29
    refused = client.post("/add_vectors", json={"index": "a", "vectors": [[1]]}, headers=LOGIN)
    assert refused.status_code == 503
    assert "being copied" in refused.json()["detail"]
    assert client.get("/health").status_code == 200
    client.post("/quiesce?seconds=0", headers=LOGIN)
    assert client.post("/add_vectors", json={"index": "a", "vectors": [[1]]}, headers=LOGIN).json()["ntotal"] == 1

"""What the files of stores tell: counted from the copy, and Failed when a database is not whole."""

from __future__ import annotations

import json
import sqlite3

import pytest

from compose.stack.errors import Failed
from tasks.backup import looks


def database(path, *statements):
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


CHROMA = (
    "CREATE TABLE collections (id TEXT, name TEXT, dimension INTEGER, database_id TEXT)",
    "CREATE TABLE segments (id TEXT, scope TEXT, collection TEXT)",
    "CREATE TABLE embeddings (id INTEGER PRIMARY KEY, segment_id TEXT)",
    "CREATE TABLE tenants (id TEXT)",
    "INSERT INTO collections VALUES ('c1', 'papers', 8, 'd1'), ('c3', 'papers', 3, 'd2')",
    "INSERT INTO collections VALUES ('c2', 'empty', NULL, 'd1')",
    "INSERT INTO segments VALUES ('m1', 'METADATA', 'c1'), ('v1', 'VECTOR', 'c1'), ('m3', 'METADATA', 'c3')",
    "INSERT INTO embeddings (segment_id) VALUES ('m1'), ('m1'), ('m3')",
)


def test_collections_are_counted_also_where_two_databases_have_one_of_the_same_name(tmp_path):
    """Every collection once, with its embeddings and dimension; an empty one is there too."""
    database(tmp_path / "chroma.sqlite3", *CHROMA)
    found, notes = looks.chroma([tmp_path])
    assert found["collections"] == {
        "empty": {"count": 0, "dimension": None},
        "papers": {"count": 2, "dimension": 8},
        "papers (d2)": {"count": 1, "dimension": 3},
    }
    assert found["tenants"] == 0
    assert notes == ()


def test_the_database_that_the_server_uses_is_counted_and_an_old_copy_is_archived_with_it(tmp_path):
    """Where the file says that it lies; else the one that lies highest; Failed where nobody can tell."""
    (tmp_path / "chroma").mkdir()
    (tmp_path / "old/deep").mkdir(parents=True)
    database(tmp_path / "old/chroma.sqlite3", "CREATE TABLE other (x)")
    database(tmp_path / "old/deep/chroma.sqlite3", "CREATE TABLE other (x)")
    database(tmp_path / "chroma/chroma.sqlite3", *CHROMA)
    found, notes = looks.chroma([tmp_path], below="chroma")
    assert found["collections"]["papers"]["count"] == 2
    assert notes == ("archived, and not looked into: old/chroma.sqlite3, old/deep/chroma.sqlite3",)
    with pytest.raises(Failed, match=r"which is the server's database: chroma/chroma.sqlite3, old/chroma.sqlite3"):
        looks.chroma([tmp_path])
    database(tmp_path / "chroma.sqlite3", *CHROMA)
    assert looks.chroma([tmp_path])[0]["collections"]["papers"]["count"] == 2


def test_a_chroma_without_data_is_no_failure(tmp_path):
    """It has not written anything yet: noted."""
    assert looks.chroma([tmp_path]) == ({"collections": {}}, ("it holds no database yet",))


def test_what_is_no_database_of_chroma_fails(tmp_path):
    """Another program's file, or one that is cut short."""
    database(tmp_path / "chroma.sqlite3", "CREATE TABLE other (x)")
    with pytest.raises(Failed, match="no tables of Chroma"):
        looks.chroma([tmp_path])
    (tmp_path / "chroma.sqlite3").write_bytes(b"SQLite format 3\0" + b"\1" * 5000)
    with pytest.raises(Failed, match="SQLite"):
        looks.chroma([tmp_path])


def test_grafana_is_counted_and_where_its_key_is_is_told(tmp_path):
    """Tables that are there; the note names the configuration."""
    database(
        tmp_path / "grafana.db", "CREATE TABLE dashboard (id)", "INSERT INTO dashboard VALUES (1), (2)",
        "CREATE TABLE user (id)",
    )  # fmt: skip
    found, notes = looks.grafana([tmp_path])
    assert found["tables"] == {"dashboard": 2, "user": 0}
    assert "secret key" in notes[0]


def test_loki_and_prometheus_tell_by_their_files(tmp_path):
    """Chunks, index files and the log ahead; blocks with their samples."""
    for path in ("loki/chunks/fake/a", "loki/chunks/fake/b", "loki/tsdb-shipper-active/x", "loki/wal/0001"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    assert looks.loki([tmp_path / "loki"])[0] == {"chunks": 2, "index_files": 1, "wal_files": 1}
    block = tmp_path / "prometheus" / "01ABC"
    block.mkdir(parents=True)
    body = {"ulid": "01ABC", "minTime": 1, "maxTime": 2, "stats": {"numSamples": 5, "numSeries": 1}}
    (block / "meta.json").write_text(json.dumps(body))
    found, _ = looks.prometheus([tmp_path / "prometheus"])
    assert found["blocks"] == {"01ABC": {"samples": 5, "series": 1, "from": 1, "to": 2}}


def test_a_record_that_leads_out_is_refused(tmp_path):
    """A file name with slashes, as a hostile volume may have it."""
    (tmp_path / "a.json").write_text(json.dumps({"name": "a", "file": "../../etc/passwd", "ntotal": 1}))
    with pytest.raises(Failed, match="not there"):
        looks.faiss([tmp_path])

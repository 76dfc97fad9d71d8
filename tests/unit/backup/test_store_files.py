"""What lies in an online store's place: its own files, which its tool saves, and everything else."""

from __future__ import annotations

import pytest

from compose.stack.backup.component import Kind
from compose.stack.backup.store_files import Own, named_secret, rest_number, strangers, tells_secret

REDIS = Own(Kind.REDIS, "/data", ("mine.rdb",))


def listing(*paths: str):
    """The names below each directory of these paths."""

    def names(place: str) -> list[str]:
        inside = (path.removeprefix(f"{place}/") for path in paths if path.startswith(f"{place}/"))
        return sorted({name.split("/")[0] for name in inside})

    return names


def test_what_the_tool_saves_is_left_and_all_else_is_found() -> None:
    """Users, settings and somebody's files; not the dump, whatever it is called, nor half of a new one."""
    there = ("mine.rdb", "dump.rdb", "appendonlydir/x", "temp-12.rdb", "users.acl", "redis.conf", "uploads/a/b")
    found = strangers(REDIS, "/data", listing(*(f"/data/{path}" for path in there)))
    assert found == ["/data/redis.conf", "/data/uploads", "/data/users.acl"]


def test_a_data_directory_deeper_in_the_volume_is_looked_into() -> None:
    """Beside it, and beside each directory on the way; a tablespace and the server's log are its own too."""
    own = Own(Kind.POSTGRES, "/pg/18/docker", paths=("/pg/space", "/pg/18/docker/log"))
    there = (
        "/pg/18/docker/base/1", "/pg/18/docker/pg_hba.conf", "/pg/18/docker/postgresql.auto.conf", "/pg/18/note",
        "/pg/space/PG_18/1", "/pg/18/docker/log/today", "/pg/18/docker/pg_wal/0", "/pg/lost/x",
    )  # fmt: skip
    assert strangers(own, "/pg", listing(*there)) == [
        "/pg/18/docker/pg_hba.conf", "/pg/18/docker/postgresql.auto.conf", "/pg/18/note", "/pg/lost",
    ]  # fmt: skip


def test_snapshots_of_somebody_are_found_beside_ours() -> None:
    """Ours is removed after the backup; a block and its log are Prometheus' own."""
    own = Own(Kind.PROMETHEUS, "/p", paths=("/p/snapshots/ours",))
    there = ("/p/snapshots/ours/b", "/p/snapshots/theirs/b", "/p/01JDF0Z0000000000000000000/meta.json", "/p/wal/0")
    assert strangers(own, "/p", listing(*there)) == ["/p/snapshots/theirs"]


def test_a_place_without_the_data_directory_is_all_strange() -> None:
    """The server keeps its data elsewhere: nothing here is in its dump."""
    assert strangers(REDIS, "/old", listing("/old/dump.rdb")) == ["/old/dump.rdb"]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("# requirepass x\nport 6379\n", False),
        ("requirepass x\n", True),
        ("port 1\nuser default on >pw ~* +@all\n", True),
        ("primary_conninfo = 'password=x'\n", True),
        ("work_mem = '8MB'\nshared_buffers = 1GB # no key\n", False),
        ("work_mem = '8MB'\nlocal all all peer\n", False),
    ],
)
def test_settings_lie_in_clear_only_where_they_set_nothing_that_may_be_secret(text: str, secret: bool) -> None:
    """Rather left out by name once too often."""
    assert tells_secret(text) is secret


def test_archives_of_it_are_known_by_their_names() -> None:
    """With the number of their place; lists of users are secrets by their name."""
    names = ("rest.tar", "x/rest-2.tar", "data.tar", "rest.index.jsonl")
    assert [rest_number(name) for name in names] == [1, 2, 0, 0]
    assert named_secret("/data/users.acl")
    assert not named_secret("/data/redis.conf")

"""Command lines of the stores' tools, file names of databases, what configuration may lie in clear."""

from __future__ import annotations

import contextlib
import io
import posixpath
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.backup import postgres_sql as sql
from compose.stack.backup import rdb, tools
from compose.stack.backup.configuration import (
    archive_name,
    holds_secret,
    ignore_patterns,
    is_ignored,
    looks_secret,
)
from compose.stack.backup.keys import safe_key
from compose.stack.errors import Failed
from compose.stack.redact import Redactor


def test_pg_dump_is_this_command() -> None:
    """The format is pg_dump's own, nothing is compressed by it, no password is asked for or shown."""
    assert tools.pg_dump("app", "00000003-1") == (
        "pg_dump", "--format=custom", "--compress=0", "--no-password", "--lock-wait-timeout=60000",
        "--snapshot=00000003-1", "--dbname=dbname='app'",
    )  # fmt: skip
    assert tools.pg_dumpall_globals(passwords=False)[-1] == "--no-role-passwords"
    assert tools.pg_dumpall_globals(passwords=True) == ("pg_dumpall", "--globals-only", "--no-password")


def test_a_tool_gets_memory_and_time_by_the_file() -> None:
    """A file that is larger than a fixed limit is read all the same, but the machine is not starved for it."""
    gib = 1024**3
    assert tools.memory_for(0, 64 * gib) == gib
    assert tools.memory_for(4 * gib, 64 * gib) == 6.5 * gib
    assert tools.memory_for(4 * gib, None) == 6.5 * gib
    assert tools.memory_for(40 * gib, 64 * gib) == 32 * gib
    assert tools.memory_for(4 * gib, gib) == gib, "what a small one always had"
    assert tools.seconds_for(0) == 3600
    assert tools.seconds_for(100 * gib) == 25_600


def test_a_database_whose_name_looks_like_a_connection_is_only_a_name() -> None:
    """What libpq would read as parameters is quoted."""
    assert tools.conninfo("host=evil") == "dbname='host=evil'"
    assert tools.conninfo("o'd\\d") == "dbname='o\\'d\\\\d'"


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_every_name_makes_a_safe_file_name(name: str) -> None:
    """One part of a path, never hidden, taken by the check of keys."""
    stem = tools.file_stem(name)
    assert posixpath.basename(stem) == stem
    assert not stem.startswith(".")
    assert len(stem) <= 100
    assert safe_key(f"postgres/{stem}.dump")


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=70), unique=True, max_size=6)
)
def test_different_names_make_different_file_names(names: list[str]) -> None:
    """Also where they are long or odd."""
    assert len({tools.file_stem(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    ("environment", "command", "port"),
    [
        ({}, ("docker-entrypoint.sh", "postgres"), 5432),
        ({"PGPORT": "6000"}, ("postgres",), 6000),
        ({}, ("postgres", "-p", "5433"), 5433),
        ({}, ("postgres", "-c", "port=5434"), 5434),
        ({}, ("postgres", "--port=5435"), 5435),
    ],
)
def test_the_port_of_a_server(environment: dict[str, str], command: tuple[str, ...], port: int) -> None:
    """As its command line says, else its environment, else the usual one."""
    assert tools.postgres_port(environment, command) == port


def test_passwords_of_redis_are_found_where_people_put_them() -> None:
    """Command line first, then the environment; quotes of a configuration file are taken off."""
    found = tools.redis_passwords(
        {"REDISCLI_AUTH": "b", "REDIS_ARGS": "--requirepass c"}, ("redis-server", "--requirepass", "a")
    )
    assert found == ("a", "c", "b")
    assert tools.redis_conf_password('# requirepass no\nrequirepass "a\\"b"\n') == 'a"b'
    assert tools.redis_conf_password("port 1\n  requirepass plain # x\n") == "plain"
    assert tools.redis_conf_password("port 1") is None


def test_the_hash_of_a_table_does_not_depend_on_the_order_of_rows() -> None:
    """A sum over rows, of the table alone and not of those that inherit from it."""
    query = sql.count_and_hash('public."t t"', "t.a, t.b")
    assert "sum(hashtextextended(ROW(t.a, t.b)::text, 0)::numeric)" in query
    assert 'FROM ONLY public."t t" t' in query
    assert sql.import_snapshot("a'b") == "SET TRANSACTION SNAPSHOT 'a''b'"


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        ("/x/.env", True), ("/x/.env.local", True), ("/x/prod.env", True), ("/x/server.key", True),
        ("/x/id_ed25519", True), ("/x/api-token.txt", True), ("/x/.env.example", False),
        ("/x/environment.yml", False), ("/x/tokens.py", False), ("/x/keys/readme.md", False),
        ("/x/secrets/smtp", True), ("/x/.secrets/a/b.py", True), ("/x/acme.json", True), ("/x/.npmrc", True),
        ("/x/credentials.json", True), ("/x/.git-credentials", True), ("/x/service-account.json", True),
        ("/x/kubeconfig", True), ("/x/.kube/config", True), ("/x/wg0.conf", True),
        ("/x/.docker/config.json", True),
        ("/x/no-secrets-here/a.conf", False), ("/x/nginx.conf", False), ("/x/config.json", False),
    ],
)  # fmt: skip
def test_files_that_look_secret(path: str, secret: bool) -> None:
    """By their names; examples are none."""
    assert looks_secret(path) is secret


def test_a_file_with_a_known_secret_is_one() -> None:
    """Whatever it is called."""
    redactor = Redactor(frozenset({"canary-1"}))
    assert holds_secret(b"x: canary-1", redactor)
    assert not holds_secret(b"x: y", redactor)
    assert archive_name("/srv/../srv/app/x.yml") == "files/srv/app/x.yml"


@pytest.mark.parametrize(
    ("data", "secret"),
    [
        (b"a: 1\n-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n", True),
        (b'{"key": "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBg"}', True),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3BlbnNzaC1rZXk\r\n", True),
        (b"[Interface]\nPrivateKey = " + b"a" * 43 + b"=\n", True),
        (b"users:\n- user:\n    client-key-data: LS0tLS1CRUdJTg==\n", True),
        (b"//registry.example.org/:_authToken=abc123\n", True),
        (b"AGE-SECRET-KEY-1" + b"Q" * 58, True),
        (b"-----BEGIN CERTIFICATE-----\nMIIEpAIBAAKCAQEA\n", False),
        (b'if data.startswith(b"-----BEGIN PRIVATE KEY-----"): pass\n', False),
        (b"connect(aws_secret_access_key=settings.key)\n", False),
        (b"# PrivateKey = from the vault\n", False),
    ],
)
def test_a_file_with_a_private_key_is_one(data: bytes, secret: bool) -> None:
    """Whatever it is called; a word about keys is none."""
    assert holds_secret(data, Redactor(frozenset())) is secret


def test_dockerignore() -> None:
    """The last pattern that fits decides; a directory takes what is below it along."""
    patterns = ignore_patterns("# note\nbig\n*.log\n!keep.log\n/docs/**/*.pdf\n")
    ignored = ["big/x/y", "a.log", ".git/config", "docs/a/b.pdf", "docs/c.pdf", "x/__pycache__/m.pyc"]
    kept = ["keep.log", "src/a.log.txt", "bigger", "docs/a.md", "sub/a.log"]
    assert [path for path in ignored if not is_ignored(patterns, path)] == []
    assert [path for path in kept if is_ignored(patterns, path)] == []


def small_rdb(version: bytes = b"0010") -> bytes:
    text = lambda value: bytes([len(value)]) + value  # noqa: E731
    head = b"REDIS" + version + b"\xfa" + text(b"redis-ver") + text(b"7.0.15")
    first = b"\xfe\x00\xfb\x02\x01" + b"\x00" + text(b"a") + text(b"b")
    second = b"\xfc" + struct.pack("<q", 1) + b"\x00" + text(b"c") + b"\xc0\x05"
    return head + first + second + b"\xff" + bytes(8)


def test_an_rdb_is_counted() -> None:
    """Keys and expiries per database; what is cut short at any byte is an error, and so is what is no RDB."""
    whole = small_rdb()
    found = rdb.contents(io.BytesIO(whole).read)
    assert found.databases == {0: rdb.Count(2, 1)}
    assert found.aux == {"redis-ver": "7.0.15"}
    for cut in range(len(whole)):
        with pytest.raises(Failed):
            rdb.contents(io.BytesIO(whole[:cut]).read)
    with pytest.raises(Failed, match="does not begin"):
        rdb.contents(io.BytesIO(b"MODIS" + whole).read)


def test_an_rdb_of_the_future_is_not_counted_and_says_so() -> None:
    """A version that this reader does not know is no error: it is saved, without counts."""
    found = rdb.contents(io.BytesIO(small_rdb(b"0099")).read)
    assert not found.counted
    assert "99" in found.unknown


@given(st.binary(max_size=300))
def test_hostile_bytes_never_do_more_than_fail(data: bytes) -> None:
    """Whatever follows a good head ends in counts or in Failed."""
    with contextlib.suppress(Failed):
        rdb.contents(io.BytesIO(b"REDIS0010" + data).read)

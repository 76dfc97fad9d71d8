"""Bind sources, builds, files of secrets and configs; open doors; shared volumes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.preflight.host import HostFacts
from compose.stack.preflight.path_checks import check_paths, copied, looks_like_file, wanted_paths
from compose.stack.preflight.safety_checks import check_safety
from compose.stack.preflight.store_checks import check_database_volumes
from tests.preflighting import stack


def bind(source: str, target: str, *, makes: bool = True) -> str:
    """A service with one bind mount."""
    option = ", bind: {create_host_path: true}" if makes else ""
    return f"a: {{image: x, volumes: [{{type: bind, source: {source}, target: {target}{option}}}]}}"


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        (bind("/p/data", "/data"), "missing", "bind-created"),
        (bind("/p/data", "/data"), "directory", None),
        (bind("/p/nginx.conf", "/etc/nginx/nginx.conf"), "missing", "bind-not-file"),
        (bind("/p/nginx.conf", "/etc/nginx/nginx.conf"), "directory", "bind-not-file"),
        (bind("/p/nginx.conf", "/etc/nginx/nginx.conf"), "file", None),
        (bind("/p/rules", "/etc/alert.yml"), "missing", "bind-not-file"),
        (bind("/p/conf.d", "/etc/nginx/conf.d"), "missing", "bind-created"),
        (bind("/p/data", "/data", makes=False), "missing", "bind-missing"),
        (bind("/p/data", "/data"), "unknown", None),
    ],
)
def test_binds(text: str, kind: str, code: str | None) -> None:
    """What Docker would refuse, make silently, or has made silently before."""
    wanted = stack(text)
    (path,) = wanted_paths(wanted)
    found = [item.code for item in check_paths(wanted, HostFacts(paths={path: kind}))]
    assert found == ([code] if code else [])


BUILD = "a: {image: mine, build: {context: /p/app, dockerfile: docker/Dockerfile}}"


@pytest.mark.parametrize(
    ("paths", "codes"),
    [
        ({"/p/app": "missing"}, ["build-context-missing"]),
        ({"/p/app": "directory", "/p/app/docker/Dockerfile": "missing"}, ["dockerfile-missing"]),
        (
            {"/p/app": "directory", "/p/app/docker/Dockerfile": "file", "/p/app/src": "missing"},
            ["copy-source-missing"],
        ),
        ({"/p/app": "directory", "/p/app/docker/Dockerfile": "file", "/p/app/src": "directory"}, []),
    ],
)
def test_builds(paths: dict[str, str], codes: list[str]) -> None:
    """A build that cannot be made is an error unless its image is here."""
    texts = {"/p/app/docker/Dockerfile": "FROM x\nCOPY src /src\n"}
    wanted = stack(BUILD)
    assert [item.code for item in check_paths(wanted, HostFacts(paths=paths, dockerfiles=texts))] == codes
    here = HostFacts(paths=paths, dockerfiles=texts, images=frozenset({"mine"}))
    assert {item.code for item in check_paths(wanted, here)} == ({"build-not-repeatable"} if codes else set())


def test_remote_builds() -> None:
    """A moving branch is told, without a token that may stand in its address; a commit is not."""
    moving = "a: {build: {context: 'https://canary@example.org/a/b.git#main'}}"
    (item,) = check_paths(stack(moving), HostFacts())
    assert item.code == "moving-build"
    assert "canary" not in item.what
    assert not list(check_paths(stack(moving.replace("main", "a" * 40)), HostFacts()))
    assert not wanted_paths(stack(moving))


def test_copied() -> None:
    """Plain sources in the context only."""
    text = """
# COPY not-this /x
COPY a.txt b/ \\
     c.txt /app/
COPY --chown=1:1 ["d e.txt", "/app/"]
COPY --from=builder /x /y
ADD https://example.org/x /x
COPY *.py $SRC /app/
COPY . /app
copy <<EOF /etc/x
"""
    assert copied(text) == ("a.txt", "b/", "c.txt", "d e.txt", ".")


@given(st.text(max_size=80))
def test_any_dockerfile_is_survived(text: str) -> None:
    """Other people's Dockerfiles hold anything."""
    copied(f"COPY {text}\nADD {text}")
    looks_like_file(text)


def test_files_of_secrets_and_configs() -> None:
    """Only those that a service uses."""
    top = {"secrets": {"s": {"file": "/p/s"}, "unused": {"file": "/p/u"}}, "configs": {"c": {"file": "/p/c"}}}
    wanted = stack("a: {image: x, secrets: [{source: s}], configs: [{source: c}]}", **top)
    host = HostFacts(paths={"/p/s": "missing", "/p/u": "missing", "/p/c": "directory"})
    assert [item.key for item in check_paths(wanted, host)] == ["secrets.s.file", "configs.c.file"]


@pytest.mark.parametrize(
    ("image", "tag"),
    [("nginx", True), ("nginx:latest", True), ("host:5000/nginx", True), ("nginx:1.27", False),
     ("nginx@sha256:" + "0" * 64, False), ("host:5000/nginx:1", False)],
)  # fmt: skip
def test_unpinned(image: str, tag: bool) -> None:
    """A registry's port is no tag; what is built here needs none."""
    assert bool(list(check_safety(stack(f"a: {{image: '{image}'}}")))) is tag
    assert not list(check_safety(stack(f"a: {{image: '{image}', build: {{context: /p}}}}")))


def test_open_doors() -> None:
    """Exposed databases, the engine's socket, privileges."""
    text = """
db: {image: "postgres:16", ports: [{target: 5432, published: "5432"}, {target: 5432, host_ip: 127.0.0.1}]}
web: {image: "nginx:1", ports: [{target: 80, published: "80"}]}
ro: {image: "x:1", volumes: [{type: bind, source: /var/run/docker.sock, target: /s, read_only: true}]}
rw: {image: "x:1", privileged: true, volumes: [{type: bind, source: /run/docker.sock, target: /s}]}
"""
    found = [(item.code, item.place) for item in check_safety(stack(text))]
    assert found == [
        ("database-exposed", "db.ports.0"), ("docker-socket", "ro.volumes.0"),
        ("docker-socket-writable", "rw.volumes.0"), ("privileged", "rw.privileged"),
    ]  # fmt: skip


def test_a_databases_volume_belongs_to_it() -> None:
    """A second writer is an error, a reader or a one-shot is told, replicas cannot share."""
    data = "{type: volume, source: pg, target: /var/lib/postgresql/data}"
    text = f"""
db: {{image: "postgres:16", volumes: [{data}], deploy: {{replicas: 2}}}}
writer: {{image: x, volumes: [{{type: volume, source: pg, target: /d}}]}}
reader: {{image: x, volumes: [{{type: volume, source: pg, target: /d, read_only: true}}]}}
init: {{image: x, volumes: [{{type: volume, source: pg, target: /d}}], x-ops: {{oneshot: once}}}}
other: {{image: x, volumes: [{{type: volume, source: files, target: /d}}]}}
"""
    found = [(item.code, item.service) for item in check_database_volumes(stack(text))]
    assert found == [
        ("shared-database-volume", "db"), ("shared-database-volume", "writer"),
        ("database-volume-reader", "reader"), ("database-volume-reader", "init"),
    ]  # fmt: skip

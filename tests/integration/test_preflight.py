"""Preflight against a real engine and a real Compose: what is found is true, and nothing is left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from blocks import facts, image_files, look_cache, sockets
from blocks.compose_cli import ComposeCli
from blocks.engine import Engine
from compose.stack import commands
from compose.stack.commands import Project
from compose.stack.preflight import Findings
from compose.stack.preflight.images import Contents, Entry, Question
from compose.stack.service import Stack, parse_stack
from tasks.preflight import preflight_before, preflight_images
from tests import images

pytestmark = pytest.mark.engine

NAME, OTHER = "t-preflight", "t-preflight-other"
IMAGE = "t-preflight:1"
SUBNET, PORT = "10.213.240.0/24", 24610


@pytest.fixture(scope="module")
def engine() -> Engine:
    """The engine."""
    return Engine.connect()


@pytest.fixture(scope="module")
def image(alone: None) -> Iterator[str]:
    """An image with a shell and wget, a user, a data path and a port; removed afterwards."""
    lines = ["EXPOSE 8080", "VOLUME /data", "USER app", "ENV PATH=/usr/bin:/bin"]
    passwd = "root:x:0:0:root:/:/bin/sh\napp:x:1000:1000:app:/:/bin/sh\n"
    applets = ["sh", "sleep", "httpd", "wget"]
    yield images.busybox(IMAGE, changes=lines, applets=applets, files={"/etc/passwd": passwd, "/script": "x"})
    images.remove_made()


@pytest.fixture
def other(image: str, tmp_path: Path) -> Iterator[None]:
    """Somebody else's project, with a network, a published port and a fixed container name."""
    place = tmp_path / "other"
    place.mkdir()
    file = place / "compose.yml"
    file.write_text(f"""
services:
  web: {{image: {image}, command: [sleep, "600"], ports: ["127.0.0.1:{PORT}:8080"], stop_signal: SIGKILL,
        container_name: {OTHER}-fixed}}
networks: {{default: {{ipam: {{config: [{{subnet: {SUBNET}}}]}}}}}}
""")
    base = ["docker", "compose", "-p", OTHER, "-f", str(file)]
    try:
        subprocess.run([*base, "up", "-d", "--quiet-pull"], check=True, capture_output=True)
        yield
    finally:
        subprocess.run([*base, "down", "-v", "-t", "0"], capture_output=True, check=False)


Check = Callable[..., tuple[Findings, Stack | None]]


@pytest.fixture
def check(engine: Engine, tmp_path: Path) -> Check:
    """Runs the first pass on a file's text."""

    def run(
        text: str, files: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None
    ) -> tuple[Findings, Stack | None]:
        for name, content in {"compose.yml": text, **(files or {})}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        project = Project((str(tmp_path / "compose.yml"),), NAME)
        cli = ComposeCli(environment)
        done = cli.attempt(commands.config(project))
        stack = parse_stack(cli.understood(done.stdout)) if done.returncode == 0 else None
        found = preflight_before(
            stack, project, engine=engine, home=tmp_path, environment=environment,
            refusal=done.stderr if done.returncode else "",
        )  # fmt: skip
        return found, stack

    return run


def pairs(found: Findings) -> set[tuple[str, str]]:
    """Code and place of the errors and warnings, but for this machine's size."""
    return {(item.code, item.place) for item in (*found.errors, *found.warnings) if "below-" not in item.code}


def test_others_are_named(other: None, check: Check, image: str) -> None:
    """A port, a subnet and a container name that another project has: each with its holder."""
    found, _ = check(f"""
services:
  a: {{image: {image}, ports: ["127.0.0.1:{PORT}:8080"], container_name: {OTHER}-fixed}}
networks: {{default: {{ipam: {{config: [{{subnet: 10.213.240.128/25}}]}}}}}}
""")
    told = {item.code: item.what for item in found.errors}
    assert set(told) == {"port-taken", "subnet-taken", "container-name-taken"}
    assert f"container {OTHER}-fixed of project {OTHER}" in told["port-taken"]
    assert f"{OTHER}_default of project {OTHER}" in told["subnet-taken"]
    assert OTHER in told["container-name-taken"]


def test_a_process_is_named(check: Check, image: str) -> None:
    """A port that a process holds is told with the process."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        found, _ = check(f"services: {{a: {{image: {image}, ports: ['127.0.0.1:{port}:8080']}}}}")
    (item,) = found.errors
    assert item.code == "port-taken"
    assert f"(pid {os.getpid()})" in item.what


def test_udp_listeners_are_seen() -> None:
    """UDP has no listening state; a bound socket counts."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        (found,) = sockets.listeners({port})
    assert (found.protocol, found.address) == ("udp", "127.0.0.1")


def test_our_own_containers_are_no_problem(check: Check, image: str, tmp_path: Path) -> None:
    """Checked again while it runs, a project does not collide with itself."""
    text = f"""
services:
  a: {{image: {image}, command: [sleep, "600"], ports: ["127.0.0.1:{PORT + 1}:8080"], stop_signal: SIGKILL,
       container_name: {NAME}-fixed}}
networks: {{default: {{ipam: {{config: [{{subnet: 10.213.241.0/24}}]}}}}}}
"""
    check(text)
    base = ["docker", "compose", "-p", NAME, "-f", str(tmp_path / "compose.yml")]
    try:
        subprocess.run([*base, "up", "-d"], check=True, capture_output=True)
        found, _ = check(text)
        assert not found.errors
    finally:
        subprocess.run([*base, "down", "-v", "-t", "0"], capture_output=True, check=False)


def test_everything_at_once_where_compose_stops_at_its_first_error(check: Check, image: str) -> None:
    """Dependencies, cycles, variables, env files, ports, limits and volumes of one bad file."""
    found, stack = check(
        f"""
services:
  db:
    image: postgres
    environment: {{POSTGRES_PASSWORD: "${{PW:-password}}", POSTGRES_USER: "${{WHO}}"}}
    ports: ["{PORT + 2}:5432"]
    volumes: ["pg:/var/lib/postgresql/data"]
    deploy: {{resources: {{limits: {{cpus: "512", memory: 64t}}}}}}
    healthcheck: {{test: [CMD, echo, ok]}}
  letta:
    image: {image}
    volumes: ["pg:/pg", "/var/run/docker.sock:/var/run/docker.sock", "./no.conf:/etc/no.conf:ro"]
    depends_on: [nope, db]
    env_file: missing.env
    ports: ["{PORT + 2}:80"]
  agent: {{build: ./agent, depends_on: [ring]}}
  ring: {{image: {image}, depends_on: [agent], networks: [ghost], command: "${{CMD:?say what}}"}}
  redis: {{image: "redis:7", mem_limit: 512m, command: redis-server --maxmemory 512mb}}
volumes: {{pg: {{}}, unused: {{}}}}
""",
        {"agent/Dockerfile": f"FROM {image}\nCOPY app.py /\n"},
    )
    assert stack is None
    assert pairs(found) >= {
        ("undefined-dependency", "letta.depends_on.nope"),
        ("dependency-cycle", "agent.depends_on"),
        ("undefined-resource", "ring.networks.ghost"),
        ("required-variable", "ring.command"),
        ("env-file-missing", "letta.env_file.0"),
        ("unset-variable", "db.environment.POSTGRES_USER"),
        ("duplicate-port", "letta.ports.0"),
        ("cpu-limit", "db.deploy.resources.limits.cpus"),
        ("memory-limit", "db.deploy.resources.limits.memory"),
        ("bind-not-file", "letta.volumes.2"),
        ("copy-source-missing", "agent.build.dockerfile"),
        ("shared-database-volume", "letta.volumes.0"),
        ("redis-maxmemory", "redis.command"),
        ("unused-volume", "volumes.unused"),
        ("default-secret", "db.environment.POSTGRES_PASSWORD"),
        ("database-exposed", "db.ports.0"),
        ("docker-socket-writable", "letta.volumes.1"),
        ("fake-healthcheck", "db.healthcheck.test"),
        ("unpinned-image", "db.image"),
    }
    assert "compose-refuses" not in found.codes()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("services: {a: {image: x, depends_on: [b]}}", "undefined-dependency"),
        ("services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [p]}}", "undefined-dependency"),
        ("services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}", "dependency-cycle"),
        ("services: {a: {image: x, env_file: no.env}}", "env-file-missing"),
        ("services: {a: {image: x, volumes: ['vol:/x']}}", "undefined-resource"),
        ("services: {a: {image: x, networks: [n]}}", "undefined-resource"),
        ("services: {a: {image: x, secrets: [s]}}", "undefined-resource"),
        ("services: {a: {image: x, configs: [c]}}", "undefined-resource"),
        ("services: {a: {command: x}}", "no-image"),
        ("services: {a: {image: x, imagee: y}}", "unknown-key"),
        ("services: {a: {image: '${T_PREFLIGHT_NOT_SET:?}'}}", "required-variable"),
        ("services: {a: {image: x, command: 'echo ${'}}", "bad-interpolation"),
        ("services: {a: {image: x, network_mode: 'service:b'}}", "undefined-dependency"),
        ("services: {a: {extends: {service: b}}}", "undefined-dependency"),
        ("services: {a: {extends: {file: no.yml, service: b}}}", "file-missing"),
        ("include: [no.yml]\nservices: {a: {image: x}}", "file-missing"),
        ("services: {a: {image: x, container_name: n, deploy: {replicas: 2}}}", "container-name-replicas"),
        ("services:\n  a:\n   image: x\n  b\n", "yaml-broken"),
        ("services:\n  a: {image: x}\n  a: {image: y}\n", "yaml-broken"),
        ("services: {a: {image: x, ports: ['nonsense']}}", "compose-refuses"),
    ],
)
def test_what_compose_refuses_is_explained(text: str, code: str, check: Check) -> None:
    """For each reason that Compose has to refuse a file, we have the same reason, by our own code."""
    found, stack = check(text)
    assert stack is None
    assert code in [item.code for item in found.errors]
    assert ("compose-refuses" in found.codes()) is (code == "compose-refuses")


VALUES = {"A": "1", "EMPTY": ""}
TEXTS = ("$A", "${A}", "$$A", "${N:-x}", "${EMPTY:-x}", "${EMPTY-x}", "${N:-${A}}", "${A:+y}", "${N+y}", "a${N}b",
         "${N:-a${M:-b}c}", "${A:?m}", "${EMPTY?m}", "$A$A-${A}")  # fmt: skip


def test_variables_are_filled_as_compose_fills_them(tmp_path: Path) -> None:
    """Our reading of `$` is Compose's own."""
    from compose.stack.preflight.variables import expand

    file = tmp_path / "compose.yml"
    labels = {f"l{index}": text for index, text in enumerate(TEXTS)}
    file.write_text(yaml.safe_dump({"services": {"a": {"image": "x", "labels": labels}}}))
    shown = ComposeCli(VALUES).render(Project((str(file),), NAME))["services"]["a"]["labels"]
    theirs = [str(shown[f"l{index}"]).replace("$$", "$") for index in range(len(TEXTS))]
    assert theirs == [expand(text, VALUES) for text in TEXTS]


def test_images_are_looked_into_once_and_nothing_stays(engine: Engine, image: str, tmp_path: Path) -> None:
    """Programs along the search path and through links, owners and users; the container is gone afterwards."""
    search = "/usr/bin:/bin"
    names = {("wget", search), ("curl", search), ("/bin/sh", search), ("/script", search), ("/bin", search)}
    before = _volumes(engine)
    told = image_files.images(engine, {image})[image]
    assert told is not None
    question = Question(frozenset(names), frozenset({"/tmp", "/none"}), accounts=True)
    answer = image_files.look(engine, {told: question}, tmp_path)[image]
    assert isinstance(answer, Contents)
    assert answer.programs == {
        ("wget", search): "/bin/wget", ("curl", search): "", ("/bin/sh", search): "/bin/sh",
        ("/script", search): "/script", ("/bin", search): "",
    }  # fmt: skip
    assert answer.places == {"/tmp": Entry("directory", 0, 0, 0o1777), "/none": None}
    assert "app:x:1000" in str(answer.passwd)
    assert answer.group == ""
    assert not engine.client.api.containers(all=True, filters={"label": image_files.LABEL})
    assert _volumes(engine) <= before
    assert look_cache.recall(tmp_path, told.id, question) == answer
    assert look_cache.recall(tmp_path, told.id, Question(frozenset({("new", search)}))) is None
    assert image_files.look(engine, {told: question}, tmp_path) == {image: answer}


def _volumes(engine: Engine) -> set[str]:
    """Nameless volumes of stopped looks would stay here."""
    found = engine.client.api.volumes().get("Volumes") or ()
    return {body["Name"] for body in found if not body.get("Labels")}


def test_the_second_pass_on_a_real_image(engine: Engine, check: Check, image: str) -> None:
    """A health check without its program, a user that is not there, a volume beside the data."""
    _, stack = check(f"""
services:
  a: {{image: {image}, healthcheck: {{test: [CMD, curl, -f, localhost]}}, ports: ["{PORT + 3}:81"]}}
  b: {{image: {image}, user: ghost, volumes: ["vol:/elsewhere"], healthcheck: {{test: "wget -q x || exit 1"}}}}
  c: {{image: {image}, user: "1000", command: [./run], volumes: ["vol:/data"]}}
  d: {{image: "t-preflight-absent:1"}}
volumes: {{vol: {{}}}}
""")
    assert stack is not None
    found = preflight_images(stack, engine=engine)
    assert {(item.code, item.service) for item in found} >= {
        ("healthcheck-program-missing", "a"), ("port-not-exposed", "a"), ("user-unknown", "b"),
        ("image-volume-uncovered", "b"), ("command-missing", "c"), ("volume-owner", "c"), ("image-unknown", "d"),
    }  # fmt: skip
    assert "healthcheck-program-missing" not in found.codes("b")


def test_a_health_check_is_run_as_predicted(check: Check, engine: Engine, image: str) -> None:
    """What we say of a program is what the engine finds when it runs the health check."""
    _, stack = check(f"services: {{a: {{image: {image}, healthcheck: {{test: [CMD, curl]}}}}}}")
    assert stack is not None
    assert "healthcheck-program-missing" in preflight_images(stack, engine=engine).codes("a")
    done = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", image, "curl"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 127


def test_facts_of_this_machine(engine: Engine, tmp_path: Path) -> None:
    """What the engine says of CPUs and memory, and the file systems behind it."""
    found = facts.host_facts(engine, None, tmp_path)
    info = engine.client.api.info()
    assert (found.cpus, found.memory) == (float(info["NCPU"]), info["MemTotal"])
    assert [disk.path for disk in found.disks] == [info["DockerRootDir"], str(tmp_path)]
    assert all(0 < disk.free <= disk.total for disk in found.disks)
    assert {network.name for network in found.networks} >= {"bridge", "host", "none"}
    assert found.engine == info["ServerVersion"]
    assert found.compose


def test_fifty_services_are_checked_without_waiting(check: Check, image: str) -> None:
    """Nothing in the first pass grows with the square of the stack; the time itself is the bench's business."""

    def text(count: int) -> str:
        lines = (
            f"  s{n}: {{image: {image}, ports: ['{PORT + 100 + n}:80'], mem_limit: 64m}}" for n in range(count)
        )
        return "services:\n" + "\n".join(lines)

    check(text(5))
    begin = time.monotonic()
    found, stack = check(text(50))
    assert stack is not None
    assert len(stack.services) == 50
    assert not [item for item in found.errors if item.service]
    assert time.monotonic() - begin < 30


def test_what_a_killed_run_left_is_swept(engine: Engine, image: str) -> None:
    """A container of a process that is gone goes at the next look; one of a live process stays."""
    child = subprocess.Popen(["sleep", "60"])
    try:
        api = engine.client.api
        alive = api.create_container(image, ["x"], labels={image_files.LABEL: image_files._mark(child.pid)})["Id"]
        dead_mark = image_files._mark(child.pid).replace(f"/{child.pid}:", "/4194300:")
        dead = api.create_container(image, ["x"], labels={image_files.LABEL: dead_mark})["Id"]
        image_files.sweep(engine)
        left = {body["Id"] for body in api.containers(all=True, filters={"label": image_files.LABEL})}
        assert alive in left
        assert dead not in left
    finally:
        child.kill()
        child.wait()
        image_files.sweep(engine)
    assert not api.containers(all=True, filters={"label": image_files.LABEL, "id": alive})

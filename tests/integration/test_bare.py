"""`./ops up` on a fresh Debian 12 without Docker, pip or venv: a working, verified stack at its end."""

import json
import os
import subprocess

import pytest

from compose.stack.settings import SECRETS
from tests.system_container import CLONE, Machine

pytestmark = [pytest.mark.bare, pytest.mark.timeout(3600)]

KNOWN_BUILDS = """
from blocks.engine import Engine
from blocks.home import Home
from compose.stack.request import StackRef
from flows.deploy_stack import open_work
from tasks.images import _remember, _with_recipes
work = open_work(Home.find(), StackRef(), Engine.connect())
work, _ = _with_recipes(work, "offline", frozenset(work.stack.services))
_remember(work, [name for name, service in work.stack.services.items() if service.builds])
"""
"""Tells a fresh state directory that the images which came from outside were built of this very clone."""


@pytest.fixture(scope="module")
def machine():
    machine = Machine(f"t-bare-{os.getpid()}")
    try:
        machine.start()
        yield machine
    finally:
        machine.remove()


def light_images():
    """The images of the light stack as they are built here; all there, or the test cannot be short."""
    files = [word for name in ("tinyllama", "offline") for word in ("-f", f"docker-compose.{name}.yml")]
    said = subprocess.run(
        ["docker", "compose", *files, "config", "--images"],
        cwd=CLONE / "compose",
        env={**os.environ, **dict.fromkeys(SECRETS, "x")},
        capture_output=True,
        text=True,
        check=True,
    )
    images = sorted(set(said.stdout.split()))
    there = subprocess.run(["docker", "image", "inspect", *images], capture_output=True).returncode == 0
    if not there:
        pytest.skip("the light stack's images are not built yet")
    return images


def test_up_from_nothing(machine):
    """Python, engine, secrets, server and worker come first; then the stack, proven; then where to look."""
    before = machine.run("sh", "-c", "command -v python3 docker pip; true").stdout
    assert before == "", "the machine is not bare"
    first = machine.ops("up", "--until", "secrets")
    assert "installed, started" in first.stdout
    assert "generated POSTGRES_PASSWORD, REDIS_PASSWORD, SECRET_KEY, API_TOKEN" in first.stdout
    machine.load(light_images())
    machine.run(
        "sh", "-c", f"cd {machine.clone} && OPS_HOME=/var/lib/sutazai-ops .venv/bin/python -P -c '{KNOWN_BUILDS}'"
    )
    done = machine.ops("up")
    for line in ("engine", "secrets", "images", "Prefect", "worker", "deployments", "deploy", "verify"):
        assert any(said.startswith(line) for said in done.stdout.splitlines()), done.stdout
    assert "Prefect UI   http://127.0.0.1:4200" in done.stdout
    rows = json.loads(machine.ops("status", "--json").stdout)["services"]
    assert rows
    assert all(row["right"] for row in rows)


def test_secrets_are_private_and_nowhere_in_argv(machine):
    """.env is 0600, and no process shows a secret in its command line."""
    assert machine.run("stat", "-c", "%a", "/var/lib/sutazai-ops/.env").stdout.strip() == "600"
    text = machine.run("cat", "/var/lib/sutazai-ops/.env", "/var/lib/sutazai-ops/prefect/auth").stdout
    secrets = [line.split("=", 1)[-1].rpartition(":")[2] for line in text.splitlines() if len(line) > 30]
    argv = machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout
    assert secrets
    assert not [secret for secret in secrets if secret in argv]


def test_again_there_is_nothing_to_do(machine):
    """The second run changes no container."""
    ids = machine.run("docker", "ps", "-aq", "--no-trunc").stdout
    done = machine.ops("up")
    assert "nothing to do" in done.stdout
    assert machine.run("docker", "ps", "-aq", "--no-trunc").stdout == ids


def test_killed_server_and_worker_come_back_with_their_data(machine):
    """SIGKILL to both: `up` starts them again, and the earlier runs are still there."""
    runs = flow_runs(machine)
    for name in ("server", "worker"):
        record = json.loads(machine.run("cat", f"/var/lib/sutazai-ops/run/{name}.json").stdout)
        machine.run("sh", "-c", f"kill -9 {record['pid']}")
    done = machine.ops("up", "--until", "worker")
    assert done.stdout.count("started") >= 2
    assert flow_runs(machine) >= runs > 0


def flow_runs(machine):
    """How many flow runs the server remembers."""
    code = (
        "from deployments.session import Session;"
        "print(len(Session.open().prefect.api.call('POST', '/flow_runs/filter', {})))"
    )
    return int(machine.run("sh", "-c", f'cd {machine.clone} && .venv/bin/python -P -c "{code}"').stdout)


def test_down_keeps_every_volume_and_up_finds_the_data(machine):
    """The volumes named by `down` are the ones that are there, and the stack works on them again."""
    before = set(machine.run("docker", "volume", "ls", "-q").stdout.split())
    done = machine.ops("down", "--prefect")
    assert "kept volumes" in done.stdout
    assert machine.run("docker", "ps", "-aq").stdout == ""
    assert set(machine.run("docker", "volume", "ls", "-q").stdout.split()) == before
    assert "proven" in machine.ops("up").stdout


def test_destroy_needs_the_name(machine):
    """Without it nothing goes; with it everything of the project does."""
    assert machine.ops("destroy", check=False).returncode == 2
    assert machine.ops("destroy", "--yes-destroy", "wrong", check=False).returncode == 2
    assert machine.run("docker", "ps", "-q").stdout
    machine.ops("destroy", "--yes-destroy", "sutazai")
    assert machine.run("docker", "ps", "-aq").stdout == ""
    assert machine.run("docker", "volume", "ls", "-q").stdout == ""

"""The exit codes that people and programs rely on, through the command line, without a Prefect server."""

import json
import os
import subprocess
import sys

import pytest

from blocks.engine import Engine
from blocks.lock import stack_lock
from tests import images

pytestmark = pytest.mark.engine

PROJECT = f"t-codes-{os.getpid()}"
GOOD = "services: {app: {image: 't-bb:1', command: [sleep, '600'], init: true, stop_grace_period: 1s}}\n"
BAD = GOOD.replace("[sleep, '600']", "[sh, -c, 'echo broken; exit 3']").replace("init: true", "restart: 'no'")


@pytest.fixture
def ops(tmp_path, alone):
    """The command line on one small project; everything of it is removed afterwards."""
    images.busybox()
    file = tmp_path / "compose.yml"
    file.write_text(GOOD)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("OPS_", "PREFECT_"))}
    environment = {**clean, "OPS_HOME": str(tmp_path / "home"), "OPS_PREFECT_PORT": "1"}

    def run(command, *words, text=GOOD):
        file.write_text(text)
        stack = ("--file", str(file), "--project-name", PROJECT)
        return subprocess.run(
            [sys.executable, "-P", "-m", "deployments.cli", command, *words, *stack],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )

    try:
        yield run
    finally:
        run("destroy", "--yes-destroy", PROJECT)
        images.remove_made()


def test_0_done_and_nothing_to_do(ops):
    """Deployed, deployed again, looked at."""
    first = ops("deploy", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["release"] == 1
    assert "not recorded" in first.stderr
    again = ops("deploy")
    assert (again.returncode, "nothing to do" in again.stdout) == (0, True)
    assert ops("status").returncode == 0


def test_1_failed(ops):
    """A service that ends with 3: failed, its last words shown; status says so too."""
    done = ops("deploy", text=BAD.replace("restart: 'no'", "restart: always"))
    assert done.returncode == 1
    assert "app" in done.stdout
    assert "broken" in done.stdout
    assert ops("status").returncode == 1


@pytest.mark.parametrize("text", ["services: [", "services: {app: {image: 't-bb:1', depends_on: [ghost]}}\n"])
def test_2_refused(ops, text):
    """Broken YAML, an undefined dependency: nothing is touched, the message is short."""
    done = ops("deploy", text=text)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert ops("deploy", "--only", "nobody").returncode == 2


def test_3_locked(ops):
    """Somebody works on the stack: named, nothing is touched."""
    with stack_lock(Engine.connect().id, PROJECT, "this very test"):
        done = ops("deploy")
    assert done.returncode == 3
    assert "this very test" in done.stderr
    assert str(os.getpid()) in done.stderr


def test_4_failed_and_rolled_back(ops):
    """The new version fails, the old one serves again."""
    assert ops("deploy").returncode == 0
    done = ops("deploy", "--rollback-on-failure", text=BAD.replace("restart: 'no'", "restart: always"))
    assert done.returncode == 4, done.stdout + done.stderr
    assert ops("status").returncode == 0
    rows = json.loads(ops("releases", "--json").stdout)
    assert [row["kind"] for row in rows][:1] == ["deploy"]

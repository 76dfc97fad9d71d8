"""The host's part of `./ops up`, in a state directory of its own: secrets, Prefect server, worker."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from blocks.home import Home
from blocks.lock import stack_lock
from tasks.prefect_server import PrefectService
from tests.addresses import free_port
from tests.system_container import CLONE, IMAGE

pytestmark = pytest.mark.engine


class Host:
    """A state directory with a port of its own."""

    def __init__(self, path):
        self.home, self.port = Home(path), free_port()
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OPS_", "PREFECT_"))},
            "OPS_HOME": str(path),
            "OPS_PREFECT_PORT": str(self.port),
            "OPS_PROJECT": f"t-host-{os.getpid()}",
        }

    def ops(self, *words, code=0):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "deployments.cli", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def pid(self, name):
        return json.loads((self.home.run / f"{name}.json").read_text())["pid"]

    def stop(self):
        if self.home.path.exists():
            PrefectService(self.home, self.home.settings({"OPS_PREFECT_PORT": str(self.port)})).stop()


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    host = Host(tmp_path_factory.mktemp("host") / "home")
    try:
        yield host
    finally:
        host.stop()


UP = ("up", "--until", "worker", "--skip", "images")


def test_server_and_worker_are_started_once(host):
    """The first call starts both, the second finds them; the processes stay the same."""
    first = host.ops(*UP).stdout
    assert re.search(r"Prefect +started", first)
    assert re.search(r"worker +started", first)
    pids = host.pid("server"), host.pid("worker")
    again = host.ops(*UP).stdout
    assert again.count("already there") == 5
    assert (host.pid("server"), host.pid("worker")) == pids


def test_the_server_asks_for_the_password(host):
    """Nobody reads blocks without it; it listens on this machine only."""
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(f"http://127.0.0.1:{host.port}/api/admin/version", timeout=10)
    assert refusal.value.code == 401
    sockets = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    listening = [fields[1] for fields in sockets if fields[3] == "0A"]
    assert [entry for entry in listening if entry.endswith(f":{host.port:04X}")] == [f"0100007F:{host.port:04X}"]


def test_no_secret_in_argv(host):
    """The password is in variables only."""
    secret = host.home.prefect_auth().partition(":")[2]
    for name in ("server", "worker"):
        assert secret.encode() not in Path(f"/proc/{host.pid(name)}/cmdline").read_bytes()


def test_a_killed_server_comes_back_with_its_data(host):
    """SIGKILL; `up` starts it again on the same database."""
    service = PrefectService(host.home, host.home.settings({}))
    service.api.call("POST", "/variables/", {"name": "kept", "value": "yes"})
    os.kill(host.pid("server"), signal.SIGKILL)
    assert re.search(r"Prefect +started", host.ops(*UP).stdout)
    assert service.api.call("GET", "/variables/name/kept")["value"] == "yes"


def test_a_missing_secret_is_made_and_named_the_others_kept(host):
    """A line that somebody lost comes back with a new value; no other line changes."""
    before = host.home.stored()
    text = host.home.env_file.read_text()
    host.home.env_file.write_text("".join(li for li in text.splitlines(True) if not li.startswith("API_TOKEN=")))
    said = host.ops("up", "--until", "secrets").stdout
    assert f"generated API_TOKEN in {host.home.env_file}" in said
    after = host.home.stored()
    assert after.pop("API_TOKEN") != before.pop("API_TOKEN")
    assert after == before


def test_a_taken_port_is_named_with_its_holder(tmp_path):
    """Our own test holds it: refused before anything is started, with its pid."""
    host = Host(tmp_path / "home")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", host.port))
        listener.listen()
        done = host.ops("up", "--until", "server", "--skip", "images", code=2)
    assert f"port {host.port} is taken by" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert not (host.home.run / "server.json").exists()


def test_two_at_once(host):
    """The second is told who is at work, and starts nothing beside."""
    with stack_lock("this machine", str(host.home.path), "./ops up"):
        done = host.ops(*UP, code=3)
    assert f"./ops up (pid {os.getpid()}" in done.stderr


def test_down_with_prefect_stops_both(host):
    """And says so."""
    keeper = PrefectService(host.home, host.home.settings({})).keeper
    assert "stopped: Prefect worker, Prefect server" in host.ops("down", "--prefect").stdout
    assert not [name for name in ("server", "worker") if keeper.running(name)]
    assert "nothing, none ran" in host.ops("down", "--prefect").stdout


def test_an_engine_that_is_not_there_is_refused_with_the_next_step(tmp_path):
    """DOCKER_HOST names nothing: it is respected, nothing is installed."""
    host = Host(tmp_path / "home")
    host.environment["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    done = host.ops("up", "--until", "engine", code=2)
    assert "no engine answers at unix:///nowhere/docker.sock" in done.stderr
    assert "unset DOCKER_HOST" in done.stderr


def test_without_root_and_python_the_launcher_says_what_to_run():
    """On a bare machine a user is told the packages; nothing else happens."""
    if subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True).returncode:
        pytest.skip("the base image is not built yet")
    mount = f"{CLONE / 'ops'}:/ro/ops:ro"
    run = ["docker", "run", "--rm", "-u", "nobody", "-v", mount, IMAGE, "bash", "-c"]
    done = subprocess.run([*run, "cp /ro/ops /tmp/ && /tmp/ops up"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "sudo apt-get install python3 python3-venv python3-pip" in done.stderr
    done = subprocess.run([*run, "/ro/ops up"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "cannot write to /ro" in done.stderr

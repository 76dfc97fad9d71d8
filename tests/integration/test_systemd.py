"""Where systemd runs, engine, server and worker are units: after a reboot everything returns by itself."""

import os

import pytest

from blocks.polling import poll
from tests.images import BUSYBOX, busybox
from tests.system_container import Machine

pytestmark = pytest.mark.bare
SHOP = f"""
services:
  store:
    image: {BUSYBOX}
    init: true
    restart: unless-stopped
    command: [sleep, infinity]
networks: {{default: {{ipam: {{config: [{{subnet: 10.214.67.0/24}}]}}}}}}
"""
HOLD = """
import time
from blocks.engine import Engine
from blocks.home import Home
from compose.stack.request import StackRef
from flows.deploy_stack import open_work
from tasks.backup.stopping import Stopper
ref = StackRef(files=["/root/shop/compose.yml"], project_name="t-reboot")
with Stopper(open_work(Home.find(), ref, Engine.connect())).stopped(("store",), "a copy"):
    print("stopped", flush=True)
    time.sleep(600)
"""

UNITS = ("docker", "sutazai-ops-server", "sutazai-ops-worker")
WATCHDOG = "sutazai-ops-watchdog"
LOOK = (
    "from deployments.session import Session; api = Session.open().prefect.api;"
    "print(api.accepts_us(), len(api.workers_online('ops')))"
)


@pytest.fixture(scope="module")
def machine():
    machine = Machine(f"t-systemd-{os.getpid()}", systemd=True)
    busybox()
    try:
        machine.start()
        assert poll(lambda: is_up(machine), 120, every=0.5)
        yield machine
    finally:
        machine.remove()


def is_up(machine):
    return machine.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")


def active(machine):
    said = machine.run("systemctl", "is-active", *UNITS, check=False).stdout.split()
    return said == ["active"] * len(UNITS)


def look(machine):
    python = f"{machine.clone}/.venv/bin/python"
    return machine.run("sh", "-c", f'cd {machine.clone} && {python} -P -c "{LOOK}"', check=False).stdout.split()


def test_units_come_back_after_a_reboot(machine):
    """`up` makes the units; a reboot, and server and worker answer without anybody's doing."""
    machine.ops("up", "--until", "worker", "--skip", "images")
    assert active(machine)
    assert poll(lambda: look(machine) == ["True", "1"], 120, every=1)
    machine.reboot()
    assert poll(lambda: is_up(machine) and active(machine), 180, every=0.5)
    assert poll(lambda: look(machine) == ["True", "1"], 180, every=1)


def test_the_watchdog_ticks_after_a_reboot_too(machine):
    """What a dead backup stopped is looked for every minute, and the look itself succeeds."""
    assert machine.run("systemctl", "is-active", f"{WATCHDOG}.timer", check=False).stdout.strip() == "active"
    machine.run("systemctl", "start", f"{WATCHDOG}.service")
    said = machine.run("systemctl", "show", "--property=Result,ExecMainStatus", f"{WATCHDOG}.service").stdout
    assert set(said.split()) == {"Result=success", "ExecMainStatus=0"}


def test_what_a_backup_had_stopped_runs_again_after_a_reboot(machine):
    """The machine goes down while a store stands still for its copy: nobody has to start it."""
    machine.load([BUSYBOX])
    machine.run("mkdir", "-p", "/root/shop")
    machine.run("sh", "-c", f"cat > /root/shop/compose.yml <<'END'\n{SHOP}END")
    machine.ops("deploy", "--file", "/root/shop/compose.yml", "--project-name", "t-reboot")
    python = f"{machine.clone}/.venv/bin/python"
    machine.run("sh", "-c", f"cat > /root/hold.py <<'END'\n{HOLD}END")
    machine.run("sh", "-c", f"cd {machine.clone} && setsid {python} -P /root/hold.py >/root/hold.log 2>&1 &")
    assert poll(lambda: "stopped" in machine.run("cat", "/root/hold.log", check=False).stdout, 60), machine.run(
        "cat", "/root/hold.log"
    ).stdout
    assert shop_state(machine) == "exited"
    machine.reboot()
    assert poll(lambda: is_up(machine) and active(machine), 180, every=0.5)
    assert poll(lambda: shop_state(machine) == "running", 120, every=0.5), shop_state(machine)
    assert machine.run("sh", "-c", "ls /var/lib/sutazai-ops/stacks/*/stopped/* 2>/dev/null; true").stdout == ""


def shop_state(machine):
    """State of the store's container."""
    words = ("docker", "inspect", "--format", "{{.State.Status}}", "t-reboot-store-1")
    return machine.run(*words, check=False).stdout.strip()


def test_again_nothing_is_restarted(machine):
    """The main processes are the same after another `up`."""
    pids = machine.run("systemctl", "show", "--property=MainPID", *UNITS).stdout
    done = machine.ops("up", "--until", "worker", "--skip", "images")
    assert done.stdout.count("already there") == 5
    assert machine.run("systemctl", "show", "--property=MainPID", *UNITS).stdout == pids


def test_a_killed_server_is_restarted_by_systemd(machine):
    """SIGKILL: the unit is active again, and answers."""
    before = machine.run("systemctl", "show", "--property=MainPID", UNITS[1]).stdout
    machine.run("systemctl", "kill", "--signal=KILL", UNITS[1])
    assert poll(
        lambda: (
            active(machine)
            and machine.run("systemctl", "show", "--property=MainPID", UNITS[1]).stdout != before
            and look(machine)[:1] == ["True"]
        ),
        180,
        every=1,
    )


def test_the_password_is_in_a_private_file_only(machine):
    """Units are readable by all, so it is not in them."""
    secret = machine.run("cat", "/var/lib/sutazai-ops/prefect/auth").stdout.strip()
    units = machine.run("sh", "-c", "cat /etc/systemd/system/sutazai-ops-*").stdout
    assert "EnvironmentFile" in units
    assert secret not in units
    modes = machine.run("sh", "-c", "stat -c %a /var/lib/sutazai-ops/run/*.env").stdout.split()
    assert set(modes) == {"600"}


def test_down_with_prefect_removes_the_units(machine):
    """Nothing of ours starts at the next boot."""
    machine.ops("down", "--prefect")
    assert machine.run("sh", "-c", "ls /etc/systemd/system/sutazai-ops-* 2>/dev/null; true").stdout == ""

"""Looking at a machine: what is wrong with it, and the next command."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from blocks import docker_facts, machine
from blocks.home import Home
from blocks.machine import ask
from blocks.ports import holder
from compose.stack.doctor import Finding, capacity
from compose.stack.errors import OpsError
from compose.stack.machine import engine_action
from compose.stack.settings import DEFAULTS, SECRETS
from tasks.prefect_server import PrefectService

UP = "./ops up"


def examine(home: Home, clone: Path) -> list[Finding]:
    """Everything that a deployment needs of this machine; nothing is changed."""
    findings = [
        Finding(
            "ok", "system", f"{machine.distribution()}, {'systemd' if machine.has_systemd() else 'no systemd'}"
        ),
        *_engine(),
        *capacity(os.cpu_count() or 1, _memory(), shutil.disk_usage(_data_root()).free),
        *_home(home, clone),
    ]
    try:
        settings = home.settings()
    except OpsError as error:
        return [*findings, Finding("bad", "settings", error.what, error.next)]
    return [*findings, *_prefect(home, settings), *_ports(home, settings)]


def _engine() -> Iterator[Finding]:
    facts = docker_facts.look()
    try:
        action = engine_action(facts, machine.distribution())
    except OpsError as error:
        yield Finding("bad", "engine", error.what, error.next)
        return
    if action == "use":
        yield Finding("ok", "engine", f"{facts.engine}, Compose {facts.compose}")
    else:
        yield Finding("bad", "engine", "none answers", f"{UP} will {action} one")


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _data_root() -> str:
    code, place, _ = ask(("docker", "info", "--format", "{{.DockerRootDir}}"))
    return place if code == 0 and Path(place).is_dir() else "/"


def _home(home: Home, clone: Path) -> Iterator[Finding]:
    where = f"state in {home.path}"
    try:
        owner = home.claimed_by()
        stored = home.stored()
    except (OpsError, PermissionError) as error:
        yield Finding("bad", where, str(error), "run as its owner, or set OPS_HOME")
        return
    if owner not in (None, clone):
        yield Finding("bad", where, f"belongs to the clone in {owner}", "export OPS_HOME=DIRECTORY")
    missing = [name for name in SECRETS if not (stored.get(name) or os.environ.get(name))]
    yield (
        Finding("warn", "secrets", f"missing: {', '.join(missing)}", UP)
        if missing
        else Finding("ok", "secrets", f"all in {home.env_file}")
    )
    if home.env_file.exists() and home.env_file.stat().st_mode & 0o077:
        yield Finding("bad", "secrets", "others can read .env", f"chmod 600 {home.env_file}")


def _prefect(home: Home, settings: dict[str, str]) -> Iterator[Finding]:
    service = PrefectService(home, settings)
    for name in ("server", "worker"):
        if service.keeper.running(name):
            yield Finding("ok", f"Prefect {name}", "runs")
        else:
            yield Finding("warn", f"Prefect {name}", "does not run", UP)
    if service.keeper.running("server") and not service.api.accepts_us():
        yield Finding("bad", "Prefect server", "does not answer", f"less {home.logs}/server.log")


def _ports(home: Home, settings: dict[str, str]) -> Iterator[Finding]:
    """Ports of ours that somebody else holds; published ports of containers are no strangers."""
    server = PrefectService(home, settings).keeper.running("server")
    for name in DEFAULTS:
        if not name.endswith("_PORT") or (name == "OPS_PREFECT_PORT" and server):
            continue
        who = holder(int(settings[name]))
        if who and not who.startswith("docker-proxy"):
            yield Finding("bad", f"port {settings[name]}", f"taken by {who}", f"stop it, or set {name}")

"""A Docker engine that answers: used, started or installed."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from blocks import docker_facts, machine
from blocks.home import Home
from blocks.supervisor import Supervisor
from compose.stack import engine_packages as packages
from compose.stack.errors import Failed
from compose.stack.machine import engine_action

log = logging.getLogger("ops.engine")

NAME = "engine"


def ensure_engine(home: Home) -> str:
    """Have an engine that is new enough; what had to be done, in words.

    One that runs is used as it is, whoever started it: never restarted, never reconfigured.
    """
    facts, did = docker_facts.look(), ""
    action = engine_action(facts, machine.distribution())
    if action == "install":
        install(home)
        facts, did = docker_facts.look(), "installed, "
        action = engine_action(facts, machine.distribution())
    if action == "start":
        start(home)
        facts, did = docker_facts.look(), f"{did}started"
        action = engine_action(facts, machine.distribution())
    if action != "use":
        raise Failed("was installed, but does not answer", where="engine", next=f"less {home.logs}/engine.log")
    return f"{did.strip(', ') or 'already there'} ({facts.engine}, Compose {facts.compose})"


def install(home: Home) -> None:
    """Install an engine with the distribution's packages, saying so first."""
    here = machine.distribution()
    wanted = packages.engine_packages(here)
    source = " from Debian 13, beside this machine's own sources" if wanted.newer else ""
    log.info("no Docker engine: installing %s%s", " ".join(wanted.newer or wanted.own), source)
    output = home.logs / "engine-install.log"
    _apt(packages.APT_UPDATE, output)
    if not wanted.newer:
        _apt(packages.apt_install(wanted.own), output)
        return
    with tempfile.TemporaryDirectory(prefix="ops-engine-") as name:
        files = _download(Path(name), wanted.newer, here.codename, output)
        _apt(packages.apt_install((*wanted.own, *files)), output)


def _download(place: Path, names: tuple[str, ...], codename: str, output: Path) -> tuple[str, ...]:
    """Fetch packages of the newer release with lists and a cache of their own; the files' paths."""
    source = packages.debian_source(machine.apt_sources(), codename)
    (place / "sources.list").write_text(packages.newer_suite(source), encoding="utf-8")
    for part in ("lists/partial", "cache/archives/partial", "packages"):
        (place / part).mkdir(parents=True)
    for argv in packages.download_newer(str(place), names):
        _apt(argv, output, place / "packages")
    files = tuple(sorted(str(path) for path in (place / "packages").glob("*.deb")))
    if len(files) != len(names):
        raise Failed(f"{len(files)} of {len(names)} packages came", where="engine", next=f"less {output}")
    return files


def _apt(argv: tuple[str, ...], output: Path, directory: Path | None = None) -> None:
    machine.run(argv, log=output, where=NAME, environment=packages.APT_ENVIRONMENT, directory=directory, limit=900)


def start(home: Home) -> None:
    """Start this machine's engine and wait until it answers: by systemd where it runs, else detached."""
    log.info("the Docker engine does not run: starting it")
    if machine.has_systemd():
        machine.run(("systemctl", "start", "docker"), log=home.logs / "engine.log", where=NAME, limit=120)
        return
    keeper = Supervisor(home.run, home.logs)
    if keeper.running(NAME) is None:
        keeper.start(NAME, ("dockerd",), {})
    keeper.wait(NAME, lambda: bool(docker_facts.look().engine), limit=90)

"""Bad input through the command line: a message that says what and where, its exit code, and nothing changed."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engine_state import containers, docker, identities
from tests.integration.test_failures import wait_for
from tests.lab import Lab, ops_argv, project_words
from tests.projects import ComposeProject

pytestmark = pytest.mark.engine

GOOD = """
services:
  app: {image: "ops-test/busybox:1", command: sleep 3600, init: true}
"""
REFUSED, FAILED = 2, 1


def deploy(lab: Lab, project: ComposeProject, *more: str) -> subprocess.CompletedProcess[str]:
    """Deploy through the command line."""
    return lab.ops("deploy", *project_words(project), *more)


def assert_said(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The exit code, one readable message, no traceback."""
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    for word in words:
        assert word in said, said
    assert "Traceback" not in said, said


def assert_untouched(lab: Lab, project: ComposeProject) -> None:
    """No container, and no release."""
    assert containers(project.name) == []
    assert not list((lab.ops_home / "stacks" / project.name).glob("releases/0*"))


@dataclass(frozen=True)
class Hanging:
    """A deployment that hangs, for a while."""

    lab: Lab
    project: ComposeProject
    image: str
    process: subprocess.Popen[str]


@pytest.fixture(scope="module", autouse=True)
def hanging(tmp_path_factory: pytest.TempPathFactory, test_images: None) -> Iterator[Hanging]:
    """A deployment whose registry takes connections and never answers; it waits while the other tests run."""
    lab = Lab(tmp_path_factory.mktemp("hanging"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        image = f"127.0.0.1:{listening.getsockname()[1]}/team/app:1"
        try:
            here = lab.scratch("hanging", GOOD.replace("ops-test/busybox:1", image))
            yield Hanging(lab, here, image, lab.begin("deploy", *project_words(here)))
        finally:
            lab.close()


BAD_FILES = {
    "broken YAML": ("services:\n  app: {image: [\n", ("compose.yml", "line")),
    "no compose file": ("just a text\n", ("compose.yml",)),
    "undefined variable": (
        GOOD.replace("sleep 3600", '"echo ${SECONDS_TO_LIVE:?say how long}"'),
        ("SECONDS_TO_LIVE",),
    ),
    "own, unset variable": (
        "x-ops: {own: true}\n" + GOOD.replace("sleep 3600", '"echo $NOT_SET_ANYWHERE"'),
        ("NOT_SET_ANYWHERE",),
    ),
    "unknown dependency": (GOOD.replace("init: true", "depends_on: [nobody]"), ("app", "nobody")),
    "cycle": (
        "services:\n  a: {image: 'x:1', depends_on: [b]}\n  b: {image: 'x:1', depends_on: [a]}\n",
        ("a", "b", "cycle"),
    ),
    "unknown key": (GOOD.replace("init: true", "imagine: true"), ("app", "imagine")),
    "unknown x-ops key": (
        GOOD.replace("init: true", "x-ops: {redy_within: 3}"),
        ("services.app.x-ops", "redy_within"),
    ),
    "missing env file": (GOOD.replace("init: true", "env_file: [gone.env]"), ("gone.env",)),
    "cpus above the machine's": (GOOD.replace("init: true", "cpus: 999"), ("app", "999")),
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_file(what: str, lab: Lab) -> None:
    """A file that cannot be deployed is refused before anything is touched, and the place is named."""
    text, words = BAD_FILES[what]
    here = lab.scratch("bad-file", text)
    assert_said(deploy(lab, here), REFUSED, *words)
    assert_untouched(lab, here)


def test_unknown_service(lab: Lab) -> None:
    """`--only` with a service that does not exist names those that do."""
    here = lab.scratch("unknown-service", GOOD)
    assert_said(deploy(lab, here, "--only", "nobody"), REFUSED, "nobody", "app")
    assert_untouched(lab, here)


def test_unreadable_file(lab: Lab) -> None:
    """A file that is not there, or is no file."""
    here = lab.scratch("unreadable", GOOD)
    for path in (here.place / "gone.yml", here.place):
        assert_said(lab.ops("deploy", "--file", str(path), "--project-name", here.name), REFUSED, str(path))
    assert_untouched(lab, here)


def test_image_that_does_not_exist(lab: Lab) -> None:
    """Every image that cannot be had is named; no container is made."""
    here = lab.scratch("no-image", GOOD.replace("ops-test/busybox:1", "ops-test/no-such-image:9"))
    assert_said(deploy(lab, here), FAILED, "ops-test/no-such-image:9")
    assert_untouched(lab, here)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system without a free byte."""
    place = tmp_path / "full"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "t-full", str(place)], check=False).returncode:
        pytest.skip("only root may mount a file system of its own")
    try:
        with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"x" * 4096)
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_full_disk(lab: Lab, full_disk: Path) -> None:
    """A state directory on a full disk is named; nothing is deployed that could not be recorded."""
    here = lab.scratch("full-disk", GOOD)
    done = lab.ops("deploy", *project_words(here), env={"OPS_HOME": str(full_disk)})
    assert done.returncode in (FAILED, REFUSED)
    assert_said(done, done.returncode, str(full_disk))
    assert containers(here.name) == []


def test_env_with_a_missing_key(lab: Lab) -> None:
    """One of our own stacks with a key missing in .env: refused by the key's name, no default is used."""
    lab.ops_home.mkdir()
    env = lab.ops_home / ".env"
    env.write_text("REDIS_PASSWORD=only-this\n")
    env.chmod(0o600)
    done = lab.ops("deploy", env={"OPS_PROJECT": "t-missing-key", "POSTGRES_PASSWORD": ""})
    assert_said(done, REFUSED, "POSTGRES_PASSWORD")
    assert containers("t-missing-key") == []
    assert env.read_text() == "REDIS_PASSWORD=only-this\n"


class Relay:
    """The engine's socket at another place, until it is cut."""

    def __init__(self, path: Path) -> None:
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(64)
        self._open: list[socket.socket] = [self._server]
        self.url = f"unix://{path}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self._server.accept()
                theirs = socket.socket(socket.AF_UNIX)
                theirs.connect("/var/run/docker.sock")
                self._open += [ours, theirs]
                for source, target in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Let nobody in any more, and end every connection."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def test_engine_that_stops_in_the_middle(lab: Lab) -> None:
    """The engine goes away while a service is waited for: told so, exit code 1; back again, it is finished."""
    slow = GOOD.replace("sleep 3600", '["sh", "-c", "touch /tmp/up; exec sleep 3600"]').replace(
        "init: true", 'init: true, healthcheck: {test: ["CMD", "test", "-f", "/tmp/go"], interval: 300s}'
    )
    here = lab.scratch("engine-gone", slow)
    relay = Relay(lab.place / "engine.sock")
    lab.environment["DOCKER_HOST"] = relay.url
    running = lab.begin("deploy", *project_words(here))
    wait_for(lambda: any(one.started for one in identities(here.name).values()), 60)
    before = identities(here.name)
    relay.cut()
    said = running.communicate(timeout=90)[0]
    assert running.returncode == FAILED, said
    assert "engine" in said
    assert "Traceback" not in said
    del lab.environment["DOCKER_HOST"]
    docker("exec", f"{here.name}-app-1", "touch", "/tmp/go")
    assert deploy(lab, here).returncode == 0
    assert identities(here.name) == before


def test_no_engine_at_all(lab: Lab) -> None:
    """An engine that does not answer is a refusal, with what to do."""
    here = lab.scratch("no-engine", GOOD)
    done = lab.ops("deploy", *project_words(here), env={"DOCKER_HOST": f"unix://{lab.place}/nobody.sock"})
    assert_said(done, REFUSED, "engine")


def test_works_from_anywhere(lab: Lab) -> None:
    """Relative paths are from where the person stands."""
    here = lab.scratch("relative", GOOD)
    done = subprocess.run(
        [*ops_argv("deploy", "--file", "compose.yml", "--project-name", here.name)],
        cwd=Path(here.path("compose.yml")).parent, env=lab.env(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert os.fspath(here.place) in done.stdout


def test_registry_that_hangs(hanging: Hanging) -> None:
    """A registry that hangs does not hang us: the engine gives up, and the image is named."""
    said = hanging.process.communicate(timeout=150)[0]
    assert hanging.process.returncode == FAILED, said
    assert hanging.image in said
    assert "Traceback" not in said
    assert_untouched(hanging.lab, hanging.project)

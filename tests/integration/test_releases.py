"""Releases: what is recorded, and that a rollback brings exactly that back, by id and all or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from blocks.home import Home
from blocks.releases import ReleaseStore
from compose.stack.errors import Refused
from compose.stack.report import DeployReport
from compose.stack.request import StackRef
from flows.rollback_stack import rollback_stack
from tests import images
from tests.addresses import free_subnet
from tests.engine_state import Json, containers, differences, docker, identities, state_of
from tests.lab import Lab, edit, project_words
from tests.projects import ComposeProject

pytestmark = pytest.mark.engine

RELEASING = ComposeProject("releasing", env_files=("site.env",), makes=("t-releasing/app:current",))
TAG = "t-releasing/app:current"


def app(here: ComposeProject, service: str = "app") -> Json:
    """The container of a service."""
    (one,) = [c for c in containers(here.name) if c["Name"] == f"/{here.name}-{service}-1"]
    return one


def image_id(tag: str) -> str:
    """The id that a tag points to."""
    return docker("image", "inspect", "-f", "{{.Id}}", tag).strip()


def next_version(here: ComposeProject, version: str) -> str:
    """Build another image under the same tag; its id."""
    Path(here.path("app/version")).write_text(version + "\n")
    docker(*here.compose("build", "-q", "app"))
    return image_id(TAG)


def store(lab: Lab, here: ComposeProject) -> ReleaseStore:
    """The stack's releases."""
    return ReleaseStore(lab.ops_home / "stacks" / here.name / "releases")


def network() -> str:
    """A network that nobody has."""
    return f"networks: {{default: {{ipam: {{config: [{{subnet: {free_subnet()}}}]}}}}}}\n"


def roll_back(lab: Lab, here: ComposeProject, release: int | None = None) -> DeployReport:
    """Bring a release back."""
    ref = StackRef(
        files=[here.path(file) for file in here.files],
        env_files=[here.path(file) for file in here.env_files],
        project_name=here.name,
    )
    return rollback_stack(ref, release, home=Home(lab.ops_home))


def test_brings_everything_back(lab: Lab) -> None:
    """Image under a moved tag, variables, env file and data: as they were, with today's secret, by name."""
    here = lab.take(RELEASING)
    assert lab.deploy(here).release == 1
    first, was = app(here)["Image"], state_of(here.name)
    docker("exec", f"{here.name}-app-1", "sh", "-c", "echo mine > /state/note; echo mine > /kept/note")
    steady = identities(here.name)[f"{here.name}-steady-1"]

    second = next_version(here, "2")
    assert second != first
    Path(here.path("app.env")).write_text("LEVEL=debug\n")
    Path(here.path("site.env")).write_text("COLOUR=green\nAPI_TOKEN=canary-of-the-second-day\n")
    assert lab.deploy(here).release == 2
    assert (app(here)["Image"], image_id(TAG)) == (second, second)

    report = roll_back(lab, here)
    assert (report.exit_code, report.release) == (0, 3), report.errors
    now = app(here)
    assert (now["Image"], image_id(TAG)) == (first, first), "by id, and the tag follows"
    assert {"LEVEL=info", "COLOUR=red", "API_TOKEN=canary-of-the-second-day"} <= set(now["Config"]["Env"])
    expected = {
        "config/Env",
        "config/Labels/com.docker.compose",
        "host/Mounts",
    }  # Compose keeps anonymous volumes so
    for line in differences(was, state_of(here.name)):
        assert any(f"/{here.name}-app-1/{part}" in line or "-steady-" in line for part in expected), line
    assert docker("exec", f"{here.name}-app-1", "cat", "/state/note", "/kept/note").split() == ["mine", "mine"]
    assert identities(here.name)[f"{here.name}-steady-1"] == steady, "what did not change is left alone"

    ours = identities(here.name)
    assert lab.run(*report.plain_command).returncode == 0
    assert identities(here.name) == ours
    assert [release.kind for release in store(lab, here).all()] == ["deploy", "deploy", "rollback"]
    assert roll_back(lab, here, 2).exit_code == 0
    assert app(here)["Image"] == second


def test_paths_of_variables_come_back(lab: Lab) -> None:
    """Binds whose source is a variable, short, with a default, long: the same directories after the rollback."""
    text = """
services:
  w:
    image: ops-test/busybox:1
    init: true
    command: sleep 3600
    environment: {LEVEL: "${LEVEL:-1}"}
    volumes:
      - "${T_NOWHERE:-./data}:/default"
      - "${T_DATA}/x:/short"
      - {type: bind, source: "${T_DATA}", target: /long}
"""
    here = lab.scratch("paths", text + network())
    env = Path(here.path(".env"))
    for place in ("data", "one/x", "two/x"):
        Path(here.path(place)).mkdir(parents=True)
    env.write_text(f"T_DATA={here.path('one')}\n")
    assert lab.deploy(here).release == 1
    was = {mount["Destination"]: mount["Source"] for mount in app(here, "w")["Mounts"]}
    assert was["/long"] == here.path("one")
    env.write_text(f"T_DATA={here.path('two')}\nLEVEL=2\n")
    assert lab.deploy(here).release == 2
    report = roll_back(lab, here)
    assert (report.exit_code, report.release) == (0, 3), report.errors
    now = app(here, "w")
    assert {mount["Destination"]: mount["Source"] for mount in now["Mounts"]} == was
    assert "LEVEL=1" in now["Config"]["Env"]
    ours = identities(here.name)
    assert lab.run(*report.plain_command).returncode == 0
    assert identities(here.name) == ours


def test_broken_image_under_the_same_tag(lab: Lab) -> None:
    """A failed update goes back by image id, although the tag has moved, and says so with exit code 4."""
    here = lab.take(RELEASING)
    assert lab.deploy(here).exit_code == 0
    first = app(here)["Image"]
    Path(here.path("app/Dockerfile")).write_text(
        'FROM ops-test/busybox:1\nCMD ["sh", "-c", "echo broken; exit 1"]\nHEALTHCHECK CMD true\n'
    )
    docker(*here.compose("build", "-q", "app"))
    report = lab.deploy(here, on_failure="rollback")
    assert report.exit_code == 4, report.headline
    assert (app(here)["Image"], image_id(TAG)) == (first, first)
    assert app(here)["State"]["Running"]


def test_a_lost_image_refuses_the_whole_rollback(lab: Lab) -> None:
    """All or nothing: when one image is gone nothing is touched."""
    here = lab.take(RELEASING)
    lab.deploy(here)
    first = app(here)["Image"]
    next_version(here, "2")
    lab.deploy(here)
    docker("image", "rm", "-f", first)
    before = identities(here.name)
    with pytest.raises(Refused, match=r"images of release 1 are gone.*app"):
        roll_back(lab, here, 1)
    assert identities(here.name) == before


def test_images_of_the_last_releases_are_kept(lab: Lab) -> None:
    """Five releases can be brought back; older images go."""
    here = lab.take(RELEASING)
    ids = []
    for version in range(1, 8):
        ids.append(next_version(here, str(version)))
        assert lab.deploy(here, only=["app"]).exit_code == 0
    assert [images.present(one) for one in ids] == [False, False, True, True, True, True, True]


def test_only_what_was_deployed_is_recorded(lab: Lab) -> None:
    """A file of another service that changed before `--only` is still a change for the next deployment."""
    text = """
services:
  app: {image: ops-test/busybox:1, init: true, command: sleep 3600, environment: {LEVEL: "1"}}
  web:
    image: ops-test/busybox:1
    init: true
    command: sleep 3600
    volumes: ["./web.conf:/web.conf:ro"]
"""
    here = lab.scratch("only", text + network(), {"web.conf": "one\n"})
    assert lab.deploy(here).release == 1
    first = identities(here.name)
    edit(here, 'LEVEL: "1"', 'LEVEL: "2"')
    Path(here.path("web.conf")).write_text("two\n")
    assert lab.deploy(here, only=["app"]).release == 2
    second = identities(here.name)
    assert second["t-only-web-1"] == first["t-only-web-1"]
    assert second["t-only-app-1"] != first["t-only-app-1"]
    one, two = store(lab, here).all()
    assert two.config_files == one.config_files
    assert lab.deploy(here).release == 3
    third = identities(here.name)
    assert third["t-only-web-1"] != second["t-only-web-1"]
    assert third["t-only-app-1"] == second["t-only-app-1"]
    assert lab.deploy(here).release == 3, "nothing to do"


def test_a_changed_record_is_noticed(lab: Lab) -> None:
    """The chain proves itself: a record that was changed refuses, by number."""
    here = lab.take(RELEASING)
    lab.deploy(here)
    record = store(lab, here).directory(1) / "release.json"
    body = json.loads(record.read_text())
    body["variables"]["COLOUR"] = "black"
    record.write_text(json.dumps(body))
    before = identities(here.name)
    with pytest.raises(Refused, match="release 1"):
        lab.deploy(here)
    assert identities(here.name) == before


def test_met_running(lab: Lab) -> None:
    """A stack that Compose made before gets release 0 before its first change, and can go back to it."""
    here = lab.take(RELEASING)
    docker(*here.compose("up", "-d"))
    before, first = identities(here.name), app(here)["Image"]
    assert lab.deploy(here).exit_code == 0
    assert identities(here.name) == before, "what is as wanted is adopted"
    next_version(here, "2")
    assert lab.deploy(here).exit_code == 0
    releases = store(lab, here).all()
    assert (releases[0].number, releases[0].kind) == (0, "observed")
    assert roll_back(lab, here, releases[-2].number).exit_code == 0
    assert app(here)["Image"] == first


def test_other_data_format_is_refused(lab: Lab) -> None:
    """A store whose data is of another major version than its image is refused by name, either way."""
    text = """
services:
  db:
    image: t-format/postgres:16
    init: true
    command: [sh, -c, "test -f /var/lib/postgresql/data/PG_VERSION || echo 16 > /var/lib/postgresql/data/PG_VERSION; exec sleep 3600"]
    volumes: ["data:/var/lib/postgresql/data"]
    x-ops: {probe: {exec: ["true"]}}
    environment: {POSTGRES_PASSWORD: long-enough-for-a-test}
volumes:
  data:
"""  # noqa: E501 - one command
    here = lab.scratch("format", text)
    for major in ("15", "16", "17"):
        name = images.busybox(
            f"t-format/postgres:{major}", changes=[f"ENV PG_MAJOR={major}", "VOLUME /var/lib/postgresql/data"]
        )
        lab.undo(lambda name=name: docker("image", "rm", "-f", name))  # type: ignore[misc]
    assert lab.deploy(here).exit_code == 0
    before = identities(here.name)
    for major, old in (("17", "16"), ("15", "17")):
        edit(here, f"postgres:{old}", f"postgres:{major}")
        with pytest.raises(Refused, match=rf"db.*16.*{major}|db.*{major}.*16"):
            lab.deploy(here)
        assert identities(here.name) == before


def test_no_secret_is_kept(lab: Lab) -> None:
    """The values of secrets are in no file of the state directory, only keyed hashes."""
    here = lab.take(RELEASING)
    Path(here.path("app.env")).write_text("LEVEL=info\nDB_PASSWORD=canary-in-an-env-file\n")
    assert lab.deploy(here).exit_code == 0
    for file in lab.ops_home.rglob("*"):
        if file.is_file():
            assert b"canary" not in file.read_bytes(), file


def test_through_the_command_line(lab: Lab) -> None:
    """`releases` lists them, `rollback` goes back, and refuses what is not there."""
    here = lab.take(RELEASING)
    words = project_words(here)
    assert lab.ops("deploy", *words).returncode == 0
    first = app(here)["Image"]
    assert lab.ops("rollback", *words).returncode == 2, "there is nothing before the first"
    next_version(here, "2")
    assert lab.ops("deploy", *words).returncode == 0
    listed = json.loads(lab.ops("releases", *words, "--json").stdout)
    assert [release["number"] for release in listed] == [1, 2]
    done = lab.ops("rollback", "1", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert app(here)["Image"] == first
    unknown = lab.ops("rollback", "99", *words)
    assert (unknown.returncode, "1, 2, 3" in unknown.stderr) == (2, True), unknown.stderr

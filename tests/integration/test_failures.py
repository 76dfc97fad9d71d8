"""Services that fail, each in its own way: noticed at once, named with the cause, and the rest goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from compose.stack.errors import Locked
from compose.stack.report import DeployReport
from tests import images
from tests.addresses import free_subnet
from tests.engine_state import containers, docker, identities
from tests.lab import NETWORK, Lab, edit, project_words
from tests.projects import ComposeProject

pytestmark = pytest.mark.engine

CAUSES = {
    "exits": ("code 3", "the-last-words"),
    "loops": ("crash", "once-more"),
    "missing": ("not found",),
    "unable": ("cannot be executed",),
    "hungry": ("memory",),
    "frozen": ("read-only",),
    "denied": ("ermission",),
    "never": ("not ready within 3 s",),
    "job": ("code 9", "the-job-failed"),
    "late": ("23950", "in use"),
}
UPSTREAM = {"after-exits": "exits", "after-after": "exits", "after-never": "never", "after-job": "job"}
GO_ON = ("bystander", "after-bystander", "holder", "after-optional")


@pytest.fixture(scope="module")
def every_failure(
    tmp_path_factory: pytest.TempPathFactory, test_images: None
) -> Iterator[tuple[DeployReport, str]]:
    """One deployment in which nearly everything fails."""
    lab = Lab(tmp_path_factory.mktemp("failures"))
    try:
        here = lab.take(ComposeProject("failing"))
        yield lab.deploy(here, accept=["command-missing"]), here.name
    finally:
        lab.close()


@pytest.mark.parametrize("service", CAUSES)
def test_names_the_cause(service: str, every_failure: tuple[DeployReport, str]) -> None:
    """A service that fails says why, with its last words."""
    outcome = every_failure[0].outcomes[service]
    assert outcome.state == "failed"
    for words in CAUSES[service]:
        assert words in outcome.reason, outcome.reason


@pytest.mark.parametrize("service", UPSTREAM)
def test_names_who_held_it_up(service: str, every_failure: tuple[DeployReport, str]) -> None:
    """A service that was not started names the one that failed first, not the one in between."""
    report, project = every_failure
    assert report.outcomes[service].state == "upstream failed"
    assert UPSTREAM[service] in report.outcomes[service].reason
    (container,) = [one for one in containers(project) if one["Name"] == f"/{project}-{service}-1"]
    assert container["State"]["Status"] == "created"


@pytest.mark.parametrize("service", GO_ON)
def test_the_rest_goes_on(service: str, every_failure: tuple[DeployReport, str]) -> None:
    """What does not depend on a failed service is deployed all the same."""
    report, project = every_failure
    assert report.outcomes[service].ok
    assert identities(project)[f"{project}-{service}-1"].started


def test_ends_with_one_and_no_release(every_failure: tuple[DeployReport, str]) -> None:
    """A failed deployment says so and records no release."""
    assert (every_failure[0].exit_code, every_failure[0].release) == (1, None)


def test_noticed_soon_after(every_failure: tuple[DeployReport, str]) -> None:
    """The end of a container is noticed within seconds, not at the end of its time."""
    report, project = every_failure
    by_name = {one["Name"].lstrip("/"): one["State"] for one in containers(project)}
    for service in ("exits", "hungry", "frozen", "denied", "job"):
        state = by_name[f"{project}-{service}-1"]
        ran = _moment(state["FinishedAt"]) - _moment(state["StartedAt"])
        assert report.outcomes[service].seconds - ran < 30, "the time until noticed, on a busy machine"
    assert report.outcomes["loops"].seconds < 60


def _moment(text: str) -> float:
    return datetime.fromisoformat(text[:23].rstrip("Z") + "+00:00").timestamp()


UPDATING = ComposeProject("updating")


def env_of(project: ComposeProject, service: str) -> set[str]:
    """The environment of a service's first container."""
    (one,) = [c for c in containers(project.name) if c["Name"] == f"/{project.name}-{service}-1"]
    return set(one["Config"]["Env"])


def test_broken_update_rolls_back(lab: Lab) -> None:
    """With `on_failure: rollback` the previous release runs again, and the exit code says what happened."""
    here = lab.take(UPDATING)
    good = lab.deploy(here)
    before = identities(here.name)
    edit(here, 'VERSION: "1"', 'VERSION: "2"')
    edit(here, "    depends_on: [db]", '    depends_on: [db]\n    entrypoint: ["sh", "-c", "echo broken; exit 1"]')
    report = lab.deploy(here, on_failure="rollback")
    assert report.exit_code == 4
    assert "VERSION=1" in env_of(here, "app")
    after = identities(here.name)
    assert after[f"{here.name}-app-1"].started
    assert after[f"{here.name}-db-1"] == before[f"{here.name}-db-1"], "what was right is left alone"
    assert good.release is not None


def test_broken_update_without_rollback_stays_for_inspection(lab: Lab) -> None:
    """Without rollback the failed container stays, stopped, and nothing else is touched; repaired, it goes on."""
    here = lab.take(UPDATING)
    lab.deploy(here)
    before = identities(here.name)
    edit(here, 'VERSION: "1"', 'VERSION: "2"')
    edit(here, "    depends_on: [db]", '    depends_on: [db]\n    entrypoint: ["sh", "-c", "echo broken; exit 1"]')
    report = lab.deploy(here)
    assert report.exit_code == 1
    assert "VERSION=2" in env_of(here, "app")
    assert not identities(here.name)[f"{here.name}-app-1"].started
    edit(here, '\n    entrypoint: ["sh", "-c", "echo broken; exit 1"]', "")
    assert lab.deploy(here).exit_code == 0
    after = identities(here.name)
    assert after[f"{here.name}-app-1"].started
    assert after[f"{here.name}-db-1"] == before[f"{here.name}-db-1"]


def test_orphans_are_named_and_stay(lab: Lab) -> None:
    """A container of a service that left the file is named in plan and report, and not removed."""
    here = lab.take(UPDATING)
    lab.deploy(here)
    before = identities(here.name)
    edit(here, '  old: {image: "ops-test/busybox:1", command: sleep 3600, init: true}\n', "")
    for mode in ("plan", "apply"):
        report = lab.deploy(here, mode=mode)
        assert report.exit_code == 0
        assert any(f"{here.name}-old-1" in orphan for orphan in report.orphans)
        assert identities(here.name) == before


SLOW = f"""
services:
  first: {{image: "ops-test/busybox:1", command: sleep 3600, init: true}}
  slow:
    image: ops-test/busybox:1
    init: true
    command: ["sh", "-c", "while ! test -e /tmp/open; do sleep 0.2; done; touch /tmp/up; exec sleep 3600"]
    healthcheck: {{test: ["CMD", "test", "-f", "/tmp/up"], interval: 30s}}
    depends_on: [first]
{NETWORK}
"""


def test_two_at_once(lab: Lab) -> None:
    """The second deployment of a project is refused and told who works on it, whatever its OPS_HOME."""
    here = lab.scratch("two-at-once", SLOW)
    words = ("deploy", *project_words(here))
    first = lab.begin(*words)
    wait_for(lambda: f"{here.name}-slow-1" in {n for n, one in identities(here.name).items() if one.started})
    second = lab.ops(*words, env={"OPS_HOME": str(lab.place / "another-home")})
    assert second.returncode == 3, second.stderr
    assert str(first.pid) in second.stdout + second.stderr
    docker("exec", f"{here.name}-slow-1", "touch", "/tmp/open")
    assert first.wait(120) == 0
    assert lab.ops(*words).returncode == 0


def wait_for(condition: object, seconds: float = 120.0) -> None:
    """Wait until a condition holds."""
    assert callable(condition)
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)


STUBBORN = f"""
services:
  app:
    image: ops-test/busybox:1
    command: ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
    stop_grace_period: 20s
    environment: {{VERSION: "1"}}
{NETWORK}
"""


def test_children_hold_the_lock(lab: Lab) -> None:
    """When only we are killed, the command that we began still works on the stack, and so the lock is taken.

    Compose has made the new container and waits for the old one to stop.
    """
    here = lab.scratch("stubborn", STUBBORN)
    assert lab.deploy(here).exit_code == 0
    edit(here, 'VERSION: "1"', 'VERSION: "2"')
    first = lab.begin("deploy", *project_words(here))
    wait_for(lambda: len(containers(here.name)) == 2)
    first.kill()
    first.wait()
    with pytest.raises(Locked, match=f"pid {first.pid}.*dead"):
        lab.deploy(here)
    wait_for(lambda: not locked(lab, here))
    assert "VERSION=2" in env_of(here, "app")
    assert len(containers(here.name)) == 1


def locked(lab: Lab, here: ComposeProject) -> bool:
    """Deploy; true when somebody else holds the lock."""
    try:
        assert lab.deploy(here).exit_code == 0
    except Locked:
        return True
    return False


def test_images_gone_meanwhile_is_told(lab: Lab) -> None:
    """A container that somebody removes during the deployment is a named failure."""
    here = lab.scratch("removed", SLOW)
    first = lab.begin("deploy", *project_words(here))
    wait_for(lambda: f"{here.name}-slow-1" in {n for n, one in identities(here.name).items() if one.started})
    docker("rm", "-f", f"{here.name}-slow-1")
    said = first.communicate(timeout=120)[0]
    assert first.returncode == 1
    assert "removed" in said


def test_a_container_that_cannot_be_made_is_its_own_services_failure(lab: Lab) -> None:
    """Compose's words are in the report; only what depends on it is held up, and what was there is started."""
    service = f"image: {images.BUSYBOX}, init: true, command: [sleep, '600']"
    text = f"""
services:
  old: {{{service}}}
  bad: {{{service}}}
  after: {{{service}, depends_on: [bad]}}
  web: {{{service}}}
networks: {{default: {{ipam: {{config: [{{subnet: {free_subnet()}}}]}}}}}}
"""
    here = lab.scratch("t-not-made", text)
    assert not lab.deploy(here, only=["old"]).failed
    docker("stop", "-t", "0", f"{here.name}-old-1")
    edit(here, "  bad: {", "  bad: {logging: {driver: ops-nothing}, ")
    report = lab.deploy(here)
    states = {name: outcome.state for name, outcome in report.outcomes.items()}
    assert (states["bad"], states["after"]) == ("failed", "upstream failed")
    assert "ops-nothing" in report.outcomes["bad"].reason
    assert any("ops-nothing" in error for error in report.errors)
    assert report.outcomes["web"].ok
    assert report.outcomes["old"].ok
    assert {one["Name"] for one in containers(here.name) if one["State"]["Running"]} == {
        f"/{here.name}-old-1", f"/{here.name}-web-1",
    }  # fmt: skip
    edit(here, "logging: {driver: ops-nothing}, ", "")
    assert not lab.deploy(here).failed

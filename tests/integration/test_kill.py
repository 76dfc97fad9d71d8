"""Killed at any moment, and then again: the wanted state, nothing lost or doubled, what was right untouched."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from blocks.home import Home
from blocks.releases import ReleaseStore
from compose.stack.report import DeployReport
from compose.stack.request import DeployRequest, StackRef
from flows.deploy_stack import deploy_stack
from flows.rollback_stack import rollback_stack
from flows.walker import ThreadRunner
from tests import images
from tests.engine_state import Json, containers, docker, identities
from tests.lab import Lab
from tests.projects import ComposeProject
from tests.victims import Ended, run, run_when_free

pytestmark = pytest.mark.engine

SURVIVING = ComposeProject("surviving", env_files=("version.env",))
SERVICES = ("right", "data", "job", "app", "extra")
STEPS = ("validate", "secrets", "directories", "images", "validate images", "plan", "create")
STARTS = tuple(f"start:{name}" for name in ("data", "job", "app", "extra"))
LAST = ("integrate", "release")
IN_THE_MIDDLE = ("create", "start:data", "start:app", "release")
POINTS = [f"{step} end" for step in (*STEPS, *STARTS, *LAST)] + [f"{step} begin" for step in IN_THE_MIDDLE]
BACK = ("rollback begin", "start:data begin", "start:app end", "release begin", "rollback end")
MOMENTS = int(os.environ.get("OPS_TEST_KILLS", "30"))
SEED = int(os.environ.get("OPS_TEST_SEED", "2026"))


class Survivor:
    """The stack that is killed, round after round; each round wants another VERSION."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.project = lab, lab.take(SURVIVING)
        self.version = 0
        self.store = ReleaseStore(lab.ops_home / "stacks" / self.project.name / "releases")

    @property
    def ref(self) -> StackRef:
        """The stack as our flows know it."""
        return StackRef(
            files=[self.project.path("compose.yml")],
            env_files=[self.project.path("version.env")],
            project_name=self.project.name,
        )

    def deploy(self, runner: ThreadRunner) -> DeployReport:
        """Deploy it as its files are now."""
        return deploy_stack(DeployRequest(**self.ref.model_dump()), home=Home(self.lab.ops_home), runner=runner)

    def want_another(self) -> None:
        """Want another version, and lose one container meanwhile."""
        self.version += 1
        Path(self.project.path("version.env")).write_text(f"VERSION={self.version}\n")
        if self.version > 1:
            docker("rm", "-f", f"{self.project.name}-extra-1")

    def by_service(self) -> dict[str, Json]:
        """Its containers; fails when one is lost or doubled."""
        found = {one["Name"].lstrip("/"): one for one in containers(self.project.name)}
        assert set(found) == {f"{self.project.name}-{name}-1" for name in SERVICES}
        return {name.removeprefix(f"{self.project.name}-").removesuffix("-1"): one for name, one in found.items()}

    def check(self, version: int) -> None:
        """Everything is as wanted."""
        found = self.by_service()
        for name in ("data", "job", "app"):
            assert f"VERSION={version}" in found[name]["Config"]["Env"], name
        assert {name for name, one in found.items() if one["State"]["Running"]} == set(SERVICES) - {"job"}
        assert found["job"]["State"]["ExitCode"] == 0
        releases = self.store.all()
        assert [release.number for release in releases] == list(range(releases[0].number, releases[-1].number + 1))
        assert releases[-1].services["app"]["environment"]["VERSION"] == str(version)
        assert not list(self.store.path.glob(".draft*"))
        for name in SERVICES:
            assert images.present(f"sutazai-ops-keep/{self.project.name}:{name}-r{releases[-1].number}"), name


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory, test_images: None) -> Iterator[Survivor]:
    """The stack, deployed once."""
    lab = Lab(tmp_path_factory.mktemp("surviving"))
    try:
        survivor = Survivor(lab)
        survivor.want_another()
        assert run(survivor.deploy).code == 0
        survivor.check(1)
        yield survivor
    finally:
        lab.close()


def already_right(survivor: Survivor) -> dict[str, object]:
    """The containers that run and are as wanted, whoever made them so."""
    wanted = f"VERSION={survivor.version}"
    return {
        one["Name"].lstrip("/"): identities_of(one)
        for one in containers(survivor.project.name)
        if one["State"]["Running"]
        and "-job-" not in one["Name"]
        and ("-right-" in one["Name"] or "-extra-" in one["Name"] or wanted in one["Config"]["Env"])
    }


def identities_of(one: Json) -> tuple[str, str]:
    """A container's id and the moment of its start."""
    return one["Id"], one["State"]["StartedAt"]


def resume(survivor: Survivor) -> None:
    """Deploy again after a kill and look at everything."""
    right = already_right(survivor)
    again = run_when_free(survivor.deploy)
    assert again.code == 0, again.said
    after = {name: (one.id, one.started) for name, one in identities(survivor.project.name).items()}
    assert {name: after.get(name) for name in right} == right, "what was right is left alone"
    survivor.check(survivor.version)


def test_every_step_is_known(survivor: Survivor) -> None:
    """The list of moments below is what a deployment really comes by."""
    survivor.want_another()
    ended = run(survivor.deploy)
    assert ended.code == 0, ended.said
    assert set(ended.points) == {
        f"{step} {event}" for step in (*STEPS, *STARTS, *LAST) for event in ("begin", "end")
    }
    survivor.check(survivor.version)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at(point: str, survivor: Survivor) -> None:
    """SIGKILL at a named moment, children included; the next deployment finishes what is left."""
    survivor.want_another()
    killed = run(survivor.deploy, halt_at=point)
    assert (killed.code, killed.points[-1]) == (None, point)
    resume(survivor)


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_killed_whenever(moment: int, survivor: Survivor) -> None:
    """SIGKILL at a random moment of the deployment; which one, the seed tells."""
    survivor.want_another()
    killed = run(survivor.deploy, kill_after=random.Random(SEED + moment).uniform(0.0, 3.0))
    assert killed.code in (None, 0)
    resume(survivor)


def roll_back(survivor: Survivor, release: int, **how: str) -> Ended:
    """Roll back in a process of its own."""
    home = Home(survivor.lab.ops_home)
    return run(lambda runner: rollback_stack(survivor.ref, release, home=home, runner=runner), **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("point", BACK)
def test_rollback_killed_at(point: str, survivor: Survivor) -> None:
    """SIGKILL in a rollback; asked again, it brings the release back, whole."""
    target = survivor.store.all()[-1].number
    before = survivor.version
    survivor.want_another()
    assert run(survivor.deploy).code == 0
    killed = roll_back(survivor, target, halt_at=point)
    assert (killed.code, killed.points[-1]) == (None, point)
    again = roll_back(survivor, target)
    assert again.code == 0, again.said
    survivor.check(before)
    assert run(survivor.deploy).code == 0
    survivor.check(survivor.version)


@pytest.mark.parametrize(
    "point", ["create begin", "create end", "start:data end", "start:app begin", "release begin"]
)
def test_first_deployment_killed_at(point: str, lab: Lab) -> None:
    """A stack that was never deployed before is finished just the same, with one container each."""
    survivor = Survivor(lab)
    survivor.want_another()
    killed = run(survivor.deploy, halt_at=point)
    assert (killed.code, killed.points[-1]) == (None, point)
    resume(survivor)

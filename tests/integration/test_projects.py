"""Real projects, deployed by Compose and by us: the same containers, and nothing left for Compose to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from compose.stack.errors import Refused
from compose.stack.report import DeployReport
from tests import images
from tests.engine_state import differences, docker, identities, state_of
from tests.lab import Lab, edit, still_running
from tests.projects import HOOKED, PROJECTS, ComposeProject

pytestmark = pytest.mark.engine
QUIET = {"unchanged", "done", "none"}
Edit = Callable[[ComposeProject], None]
BY_NAME = {project.directory: project for project in PROJECTS}


def skip_without_images(project: ComposeProject) -> None:
    absent = [tag for tag in project.needs if not images.present(tag)]
    if absent:
        pytest.skip(f"these images are not built: {', '.join(absent)}")


def actions(report: DeployReport) -> dict[str, str]:
    return {row["service"]: row["action"] for row in report.plan}


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.directory)
def test_equals_compose(project: ComposeProject, lab: Lab) -> None:
    """What we deploy equals what `docker compose up -d` deploys; then both find nothing to do."""
    skip_without_images(project)
    here = lab.take(project)
    docker(*here.compose("up", "-d"))
    by_compose = state_of(here.name)
    lab.clear(here)

    first = lab.deploy(here)
    assert (first.exit_code, first.errors) == (0, [])
    assert differences(by_compose, state_of(here.name)) == []
    ours = identities(here.name)

    again = lab.deploy(here)
    assert (again.exit_code, again.release) == (0, first.release)
    assert identities(here.name) == ours

    assert lab.run(*again.plain_command).returncode == 0
    assert identities(here.name) == ours


def test_hooks_are_refused_by_name(lab: Lab) -> None:
    """A hook that the installed Compose would silently not run is refused, with the service and the key."""
    here = lab.take(HOOKED)
    with pytest.raises(Refused, match=r"app.*post_start|post_start.*app"):
        lab.deploy(here)
    assert state_of(here.name)["containers"] == {}


def test_injected_content_is_renewed(lab: Lab) -> None:
    """An inline config and a secret from the environment that change are in the container after the deploy."""
    here = lab.take(BY_NAME["sealed"])
    assert lab.deploy(here).exit_code == 0
    before = identities(here.name)
    edit(here, "listen = 8080", "listen = 8081")
    Path(here.path("sealed.env")).write_text("SEALED_KEY=from-the-environment-again\n")
    report = lab.deploy(here)
    assert (report.exit_code, actions(report)["injected"]) == (0, "recreate")
    said = docker("exec", f"{here.name}-injected-1", "cat", "/etc/inline.conf", "/run/secrets/key")
    assert "listen = 8081" in said
    assert "from-the-environment-again" in said
    assert "from-the-environment-again" not in report.model_dump_json()
    changed = {name for name, one in identities(here.name).items() if before[name] != one}
    assert changed == {f"{here.name}-injected-1"}


def rebuild(here: ComposeProject) -> None:
    """Another image under the same tag."""
    Path(here.path("api/hello.txt")).write_text("hello again\n")
    docker(*here.compose("build", "-q", "api"))


def write(file: str, text: str) -> Edit:
    """Replace one of the project's files."""

    def edit_it(here: ComposeProject) -> None:
        Path(here.path(file)).write_text(text)

    return edit_it


def change(old: str, new: str) -> Edit:
    """Change the compose file in one place."""

    def edit_it(here: ComposeProject) -> None:
        edit(here, old, new)

    return edit_it


ALL_OF_THE_SHOP = {"db": "recreate", "api": "recreate", "web": "recreate"}
"""Compose recreates with a service everything that depends on it."""
LABEL = "\n    labels: {edited: yes}"
EDITS: dict[str, list[tuple[str, Edit, dict[str, str]]]] = {
    "shop": [
        ("a variable", write("shop.env", "DB_NAME=orders\nDB_PASSWORD=other\n"), ALL_OF_THE_SHOP),
        ("an env file", write("api.env", "LOG_LEVEL=info\n"), {"api": "recreate", "web": "recreate"}),
        ("a label", change("    ports:", f"{LABEL[1:]}\n    ports:"), {"web": "recreate"}),
        ("a health check", change("interval: 30s", "interval: 29s"), ALL_OF_THE_SHOP),
        ("only x-ops", change("  web:\n", "  web:\n    x-ops: {ready_within: 50}\n"), {}),
        (
            "an edge",
            change("condition: service_healthy, restart: true", "condition: service_started"),
            {"web": "recreate"},
        ),
    ],
    "building": [
        ("an image under the same tag", rebuild, {"api": "recreate", "worker": "recreate"}),
        ("a build argument", change("VERSION:-1.0", "VERSION:-1.1"), {}),
    ],
    "sidecar": [
        (
            "the one who shares its namespaces",
            change("ipc: shareable", f"ipc: shareable{LABEL}"),
            {"main": "recreate", "proxy": "recreate", "tracer": "recreate"},
        ),
        (
            "one who lives in them",
            change("network_mode: service:main", f"network_mode: service:main{LABEL}"),
            {"proxy": "recreate"},
        ),
    ],
    "replicated": [
        ("more replicas", change("replicas: 3", "replicas: 4"), {"worker": "create"}),
        ("fewer replicas", change("scale: 2", "scale: 1"), {"clerk": "create"}),
    ],
    "keeping": [
        (
            "one whose volumes others mount",
            change("- /anonymous", f"- /anonymous{LABEL}"),
            {"store": "recreate", "follower": "recreate"},
        ),
        ("a mounted file", write("conf/a.conf", "a=2\n"), {"memory": "restart"}),
    ],
    "sealed": [
        ("a mounted secret", write("token.txt", "another\n"), {"vault": "restart"}),
    ],
}


def would_recreate(here: ComposeProject, lab: Lab) -> set[str]:
    """The services of which the installed Compose says that it would recreate containers."""
    done = lab.run("docker", *here.compose("--dry-run", "up", "--no-start", "--no-build", "--pull", "never"))
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in (done.stderr + done.stdout).splitlines()]
    return services_of({words[-2] for words in lines if words[-1:] == ["Recreate"]}, here)


def services_of(containers: Iterable[str], here: ComposeProject) -> set[str]:
    """The services that containers named by Compose belong to."""
    return {name.rpartition("-")[0].removeprefix(f"{here.name}-") for name in containers}


@pytest.mark.parametrize("directory", EDITS)
def test_plan_equals_dry_run(directory: str, lab: Lab) -> None:
    """After each edit the plan recreates what Compose would, no more, and the deploy does just that."""
    here = lab.take(BY_NAME[directory])
    assert lab.deploy(here).exit_code == 0
    for what, edit_it, expected in EDITS[directory]:
        edit_it(here)
        before = identities(here.name)
        recreated = would_recreate(here, lab)
        plan = actions(lab.deploy(here, mode="plan"))
        decided = {name: action for name, action in plan.items() if action not in QUIET}
        assert decided == expected, what
        assert {name for name, action in decided.items() if action == "recreate"} == recreated, what
        assert identities(here.name) == before, f"{what}: a plan touches nothing"

        report = lab.deploy(here)
        assert (report.exit_code, report.errors) == (0, []), what
        ours = identities(here.name)
        untouched = still_running(before, ours)
        assert services_of(set(before) - set(untouched), here) <= set(expected), what
        assert lab.run(*report.plain_command).returncode == 0
        assert identities(here.name) == ours, what

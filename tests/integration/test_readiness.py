"""Whose word counts on whether a service is well, on real containers; and who restarts with whom."""

from __future__ import annotations

import pytest

from tests.addresses import free_subnet
from tests.engine_state import docker, identities
from tests.lab import Lab, project_words
from tests.projects import ComposeProject

pytestmark = pytest.mark.engine

PICKY = """
services:
  picky:
    image: ops-test/busybox:1
    init: true
    restart: unless-stopped
    command:
      - sh
      - -c
      - |
        mkdir /www && echo well > /www/health && printf 'A:127.0.0.1\\nD:*\\n' > /tmp/httpd.conf
        exec httpd -f -p 8080 -h /www -c /tmp/httpd.conf
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1:8080/health"], interval: 30s}
    x-ops: {ready_within: 20}
  job: {image: "ops-test/busybox:1", command: ["true"], restart: on-failure}
"""
SHARED = """
services:
  main:
    image: ops-test/busybox:1
    init: true
    command: [httpd, -f, -p, "8080", -h, /www]
    volumes: ["./page:/www/index.html:ro"]
  guest:
    image: ops-test/busybox:1
    init: true
    command: [sleep, "600"]
    network_mode: service:main
"""


def placed(lab: Lab, name: str, text: str, files: dict[str, str] | None = None) -> ComposeProject:
    subnet = free_subnet()
    return lab.scratch(name, f"{text}networks:\n  default: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}\n", files)


def test_a_service_that_lets_only_itself_in_is_well_when_it_says_so(lab: Lab) -> None:
    """Our request is turned away, its own passes: deployed, left alone the next time, and verified."""
    project = placed(lab, "picky", PICKY)
    first = lab.deploy(project)
    assert {name: outcome.state for name, outcome in first.outcomes.items()} == {
        "picky": "ready",
        "job": "completed",
    }
    before = identities(project.name)
    again = lab.deploy(project)
    assert {name: outcome.action for name, outcome in again.outcomes.items()} == {
        "picky": "unchanged",
        "job": "done",
    }
    assert (again.exit_code, identities(project.name)) == (0, before)
    verified = lab.ops("verify", "--level", "ready", *project_words(project))
    assert verified.returncode == 0, verified.stdout


def test_who_lives_in_anothers_network_follows_it(lab: Lab) -> None:
    """After a restart for a changed file, and after a replacement that only names the other."""
    project = placed(lab, "shared", SHARED, {"page": "one"})
    assert lab.deploy(project).exit_code == 0
    (lab.place / "shared" / "page").write_text("two")
    restarted = lab.deploy(project)
    actions = {name: outcome.action for name, outcome in restarted.outcomes.items()}
    assert (restarted.exit_code, actions) == (0, {"main": "restart", "guest": "restart"})
    assert page(project) == "two"
    file = lab.place / "shared" / "compose.yml"
    file.write_text(file.read_text().replace("  main:\n", "  main:\n    labels: {edited: 'yes'}\n"))
    replaced = lab.deploy(project, only=["main"])
    assert {name: outcome.action for name, outcome in replaced.outcomes.items()} == dict.fromkeys(
        actions, "recreate"
    )
    assert page(project) == "two"


def page(project: ComposeProject) -> str:
    """What the guest gets at its own loopback address."""
    return docker("exec", f"{project.name}-guest-1", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/")

"""The comparison itself: it does not flap, and it sees."""

from __future__ import annotations

import pytest

from tests.engine_state import differences, docker, identities, state_of
from tests.lab import Lab, edit
from tests.projects import PROJECTS, ComposeProject

pytestmark = pytest.mark.engine

FLAPPERS = [project for project in PROJECTS if project.directory in {"sidecar", "keeping", "replicated"}]

MANY = """
x-one: &one {image: "ops-test/busybox:1", command: [sleep, "3600"], stop_signal: SIGKILL}
services:
  env: {<<: *one, environment: {A: "1"}}
  label: {<<: *one, labels: {a: "1"}}
  command: {<<: *one, command: [sleep, "3601"]}
  user: {<<: *one, user: "1000"}
  mount: {<<: *one, volumes: ["data:/data"]}
  alias: {<<: *one, networks: {default: {aliases: [one]}}}
  port: {<<: *one, ports: ["127.0.0.1:23900:80"]}
  restart: {<<: *one, restart: always}
  check: {<<: *one, healthcheck: {test: ["CMD", "true"], interval: 31s}}
  limit: {<<: *one, mem_limit: 32m}
  address: {<<: *one, networks: {default: {ipv4_address: 10.213.100.50}}}
volumes:
  data: {labels: {kind: one}}
"""
CHANGES = {
    "env": ('A: "1"', 'A: "2"', "config/Env"),
    "label": ('{a: "1"}', '{a: "2"}', "config/Labels/a"),
    "command": ("3601", "3602", "config/Cmd"),
    "user": ('"1000"', '"1001"', "config/User"),
    "mount": ("data:/data", "data:/data:ro", "mounts[0]/RW"),
    "alias": ("[one]", "[two]", "networks/t-many_default/aliases"),
    "port": ("23900:80", "23900:81", "ports"),
    "restart": ("always", "unless-stopped", "host/RestartPolicy"),
    "check": ("31s", "32s", "config/Healthcheck/Interval"),
    "limit": ("32m", "33m", "host/Memory"),
    "address": ("100.50", "100.51", "networks/t-many_default/address"),
}


@pytest.mark.parametrize("project", FLAPPERS, ids=lambda project: project.directory)
def test_compose_equals_itself(project: ComposeProject, lab: Lab) -> None:
    """Two deployments by Compose of one file are the same, so every difference later is ours."""
    here = lab.take(project)
    states = []
    for _ in range(2):
        docker(*here.compose("up", "-d"))
        states.append(state_of(here.name))
        lab.clear(here)
    assert differences(states[0], states[1]) == []


def test_sees_every_difference(lab: Lab) -> None:
    """One deliberate difference per service, and each is found where it was made."""
    here = lab.scratch("many", MANY)
    docker(*here.compose("up", "-d"))
    before = state_of(here.name)
    lab.clear(here)
    for old, new, _ in CHANGES.values():
        edit(here, old, new)
    edit(here, "kind: one", "kind: two")
    docker(*here.compose("up", "-d"))
    found = differences(before, state_of(here.name))
    for service, (_, _, where) in CHANGES.items():
        expected = f"/containers/t-many-{service}-1/{where}"
        assert any(line.startswith(expected) for line in found), (service, found)
    assert any(line.startswith("/volumes/t-many_data/Labels/kind") for line in found)


def test_sees_a_restart(lab: Lab) -> None:
    """A container that was started again is another identity, even under the same id."""
    here = lab.scratch(
        "restarted", "services:\n  app: {image: 'ops-test/busybox:1', command: sleep 9, init: true}\n"
    )
    docker(*here.compose("up", "-d"))
    before = identities(here.name)
    docker("restart", "-t", "0", "t-restarted-app-1")
    assert identities(here.name) != before

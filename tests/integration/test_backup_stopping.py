"""Stopping services for a copy: clean, bounded, in order, and everything is up again whatever happens."""

from __future__ import annotations

import threading
import time

import pytest

from blocks.backup.stop_journal import StopJournal
from blocks.polling import poll
from compose.stack.errors import Failed, Refused
from tasks.backup.stopping import Stopper
from tests.engine_state import docker, identities
from tests.saving_lab import BUSYBOX, laboratory, network, opened

pytestmark = pytest.mark.engine
SERVE = "exec httpd -f -p 8080 -h /"
PROJECT = f"""
services:
  db:
    image: {BUSYBOX}
    init: true
    command: [sh, -c, "sleep 0.5; {SERVE}"]
    volumes: ["data:/data"]
    x-ops: {{probe: {{http: {{port: 8080, path: /etc/passwd}}}}}}
  web:
    image: {BUSYBOX}
    init: true
    command: [sh, -c, "{SERVE}"]
    deploy: {{replicas: 2}}
    depends_on: [db]
    volumes: ["data:/data"]
    x-ops: {{probe: {{tcp: {{port: 8080}}}}}}
  side:
    image: {BUSYBOX}
    init: true
    command: [sleep, "3600"]
    network_mode: "service:db"
  apart:
    image: {BUSYBOX}
    init: true
    command: [sleep, "3600"]
  slow:
    image: {BUSYBOX}
    stop_grace_period: 1s
    command: [sh, -c, "trap 'sleep 2; exit 0' TERM; while :; do sleep 0.1; done"]
  deaf:
    image: {BUSYBOX}
    stop_grace_period: 1s
    command: [sh, -c, "trap '' TERM; while :; do sleep 0.1; done"]
    x-ops: {{backup: {{stop_limit: 5}}}}
volumes: {{data: {{}}}}
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    with laboratory(tmp_path_factory.mktemp("stopping")) as lab:
        project = lab.scratch("t-stopping", PROJECT + network(40))
        assert lab.deploy(project).exit_code == 0
        yield lab, project, opened(lab, project)


def running(project, *services):
    there = identities(project.name)
    return all(one.started for name, one in there.items() if any(f"-{s}-" in name for s in services))


def stopped(project, *services):
    there = identities(project.name)
    return not any(one.started for name, one in there.items() if any(f"-{s}-" in name for s in services))


def test_all_replicas_and_all_who_share_the_network_stand_still_and_come_back(scene):
    """Nobody else is touched; the entry is there while they are stopped and gone when they are ready."""
    _, project, work = scene
    before = identities(project.name)
    with Stopper(work).stopped(("db", "web"), "a copy") as downtime:
        assert stopped(project, "db", "web", "side")
        assert running(project, "apart")
        ((_, entry),) = StopJournal(work.home).scan()[0]
        assert entry.containers[0].service == "db"
        assert len(entry.containers) == 4
        assert downtime.seconds is None
    assert downtime.seconds is not None
    assert 0.5 < downtime.seconds < 60
    assert running(project, "db", "web", "side")
    assert StopJournal(work.home).empty
    after = identities(project.name)
    assert {name: one.id for name, one in before.items()} == {name: one.id for name, one in after.items()}
    assert [name for name in before if before[name] == after[name]] == [
        name for name in before if not any(f"-{s}-" in name for s in ("db", "web", "side"))
    ]


def test_a_container_that_did_not_run_stays_stopped(scene):
    """One of two replicas was stopped by a person; it is stopped afterwards too."""
    _, project, work = scene
    docker("stop", "-t", "1", f"{project.name}-web-2")
    try:
        with Stopper(work).stopped(("web",), "a copy"):
            assert stopped(project, "web")
        there = identities(project.name)
        assert there[f"{project.name}-web-1"].started
        assert not there[f"{project.name}-web-2"].started
    finally:
        docker("start", f"{project.name}-web-2")


@pytest.mark.parametrize("error", [Failed("the disk is full"), KeyboardInterrupt()])
def test_a_failed_copy_leaves_everything_up(scene, error):
    """The error itself is what is raised, Ctrl-C too."""
    _, project, work = scene
    with pytest.raises(type(error)), Stopper(work).stopped(("db",), "a copy"):
        raise error
    assert running(project, "db", "side")
    assert StopJournal(work.home).empty


def test_one_that_needs_longer_is_given_longer(scene):
    """Killed at first: started, stopped with a longer grace, and then it ends by itself."""
    _, project, work = scene
    with Stopper(work).stopped(("slow",), "a copy"):
        assert docker("inspect", "-f", "{{.State.ExitCode}}", f"{project.name}-slow-1").strip() == "0"
    assert running(project, "slow")


def test_one_that_never_ends_by_itself_fails_the_copy(scene):
    """An end by SIGKILL is no clean stop: Failed by name, within its limit, and it runs again."""
    _, project, work = scene
    with pytest.raises(Failed, match="deaf"), Stopper(work).stopped(("deaf",), "a copy"):
        pytest.fail("copied from a killed store")
    assert running(project, "deaf")
    with Stopper(work).stopped(("deaf",), "writers of a consistency point", clean=False):
        assert stopped(project, "deaf")
    assert running(project, "deaf")


def test_the_limit_ends_the_copy_and_the_services_are_up_before_the_copy_notices(scene):
    """At the limit they are started, whatever the copy does; the copy is told and fails."""
    _, project, work = scene
    told = []
    stopper = Stopper(work)
    stopper.limit_of = lambda _: 3.0

    def copy():
        with stopper.stopped(("web",), "a copy") as downtime:
            downtime.at_limit.append(lambda: told.append(1))
            assert poll(lambda: running(project, "web"), 30)
            assert told == [1]
            downtime.check()

    with pytest.raises(Failed, match="longer than the 3 s"):
        copy()
    assert running(project, "web")
    assert StopJournal(work.home).empty


def test_somebody_who_starts_it_meanwhile_makes_the_copy_worthless(scene):
    """It ran while it was copied: Failed by name."""
    _, project, work = scene
    with pytest.raises(Failed, match="somebody started"), Stopper(work).stopped(("apart",), "a copy"):
        docker("start", f"{project.name}-apart-1")
    assert running(project, "apart")


def test_a_paused_one_is_refused(scene):
    """Nothing is stopped then."""
    _, project, work = scene
    docker("pause", f"{project.name}-apart-1")
    try:
        with pytest.raises(Refused, match="paused"), Stopper(work).stopped(("apart", "db"), "a copy"):
            pytest.fail("went on")
        assert running(project, "db")
    finally:
        docker("unpause", f"{project.name}-apart-1")


def test_two_who_stop_the_same_service_start_it_when_the_last_lets_go(scene):
    """The first to finish does not start it under the other's copy."""
    _, project, work = scene
    stopper = Stopper(work)
    first_in, first_out, leave = threading.Event(), threading.Event(), threading.Event()

    def first():
        with stopper.stopped(("web",), "first"):
            first_in.set()
            leave.wait(60)
        first_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    assert first_in.wait(60)
    with stopper.stopped(("web",), "second"):
        leave.set()
        assert first_out.wait(60)
        assert stopped(project, "web")
    thread.join()
    assert running(project, "web")
    assert StopJournal(work.home).empty


def test_its_restart_policy_does_not_bring_it_back(scene):
    """`restart: always` starts nothing that was stopped by us."""
    _, project, work = scene
    name = f"{project.name}-apart-1"
    docker("update", "--restart", "always", name)
    try:
        with Stopper(work).stopped(("apart",), "a copy"):
            until = time.monotonic() + 3
            assert not poll(lambda: running(project, "apart") or time.monotonic() > until, 2.5)
        assert running(project, "apart")
    finally:
        docker("update", "--restart", "no", name)

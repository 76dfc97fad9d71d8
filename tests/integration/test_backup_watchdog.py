"""What a dead run stopped is up again without anybody's doing: after SIGKILL of its group, after a reboot."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from blocks.backup.stop_journal import StopJournal, lives, this_boot, this_process
from blocks.polling import poll
from compose.stack.backup.stop_journal import Holder, StopEntry, StoppedContainer
from tasks.backup.watchdog import guarded, keep_watch, revive
from tests.engine_state import docker, identities
from tests.lab import REPOSITORY
from tests.saving_lab import BUSYBOX, laboratory, network, opened

pytestmark = pytest.mark.engine
PROJECT = f"""
services:
  db:
    image: {BUSYBOX}
    init: true
    command: [sleep, "3600"]
  web:
    image: {BUSYBOX}
    init: true
    command: [sleep, "3600"]
    depends_on: [db]
"""
HOLD = """
import sys, time
from pathlib import Path
from blocks.engine import Engine
from blocks.home import Home
from blocks.one_off import beside as beside_it, run
from compose.stack.request import StackRef
from flows.deploy_stack import open_work
from tasks.backup.stopping import Stopper
home, file, name, *beside = sys.argv[1:]
work = open_work(Home(Path(home)), StackRef(files=[file], project_name=name), Engine.connect())
with Stopper(work).stopped(("db", "web"), "a copy"):
    if beside:
        raw = work.engine.client.api.inspect_container(work.engine.observe(name).of("db")[0].id)
        tool = beside_it(raw, ("sleep", "600"), {}, ())
        run(work.engine, tool, lambda: None, lambda one: print(one.id, flush=True))
    print("stopped", flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    with laboratory(tmp_path_factory.mktemp("watchdog")) as lab:
        project = lab.scratch("t-watchdog", PROJECT + network(41))
        assert lab.deploy(project).exit_code == 0
        yield lab, project, opened(lab, project)


@pytest.fixture
def dead(scene):
    """A journal entry of a process that is dead, its containers stopped."""
    _, project, work = scene
    there = identities(project.name)
    docker("stop", "-t", "1", *there)
    containers = tuple(StoppedContainer(one.id, name, "db") for name, one in sorted(there.items()))
    at = datetime.now(UTC).isoformat()
    entry = StopEntry("test", project.name, work.engine.id, containers, Holder(2**22, 1, this_boot()), at, 300.0)
    yield work, project, entry
    StopJournal(work.home).clear(work.home.stack(project.name) / "stopped" / "test.json")
    docker("start", *there)


def running(project):
    return all(one.started for one in identities(project.name).values())


def test_a_killed_run_s_services_are_up_within_two_minutes(scene):
    """SIGKILL for the whole process group of a run that stopped services: the guardian starts them and ends."""
    _, project, work = scene
    with holding(scene) as first:
        assert first == "stopped"
        assert not running(project)
        assert guarded(work.home)
    assert poll(lambda: running(project), 120)
    assert poll(lambda: StopJournal(work.home).empty and not guarded(work.home), 60)


def test_a_tool_of_the_dead_run_goes_before_the_store_starts(scene):
    """Its container beside the stopped one has the store's files open: it is removed, then the store runs."""
    _, project, work = scene
    with holding(scene, "beside") as tool:
        assert poll(lambda: bool((one := work.engine.inspect(tool)) and one.running), 30)
        assert not running(project)
    assert poll(lambda: running(project), 120)
    assert work.engine.inspect(tool) is None
    assert poll(lambda: not guarded(work.home), 60)


@contextlib.contextmanager
def holding(scene, *how):
    """A run in a process group of its own that has stopped services; killed by SIGKILL after the block."""
    lab, project, _ = scene
    argv = (sys.executable, "-c", HOLD, str(lab.ops_home), project.path("compose.yml"), project.name, *how)
    process = subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, start_new_session=True, env=lab.env()
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_reused_pid_is_not_the_holder(dead):
    """Another process has its pid now: its services are started."""
    work, project, entry = dead
    me = this_process()
    StopJournal(work.home).write(project.name, replace(entry, holder=replace(me, started=me.started - 1)))
    (revived,) = revive(work.home, work.engine)
    assert len(revived.started) == 2
    assert "dead" in str(revived)
    assert running(project)
    assert StopJournal(work.home).empty


def test_a_holder_of_another_boot_is_dead(dead):
    """After a reboot pid and start time may be the same."""
    work, project, entry = dead
    StopJournal(work.home).write(project.name, replace(entry, holder=replace(this_process(), boot="another")))
    assert keep_watch(work.home, every=0.1, limit=30)
    assert running(project)


def test_a_living_holder_that_could_not_start_them_is_helped(dead):
    """As when the engine was away just then: whoever watches starts them, although the holder lives."""
    work, project, entry = dead
    StopJournal(work.home).write(project.name, replace(entry, holder=this_process(), given_up=True))
    (revived,) = revive(work.home, work.engine)
    assert "could not start it again" in str(revived)
    assert running(project)
    assert StopJournal(work.home).empty


def test_a_living_holder_is_left_alone_until_it_hangs(dead):
    """Nothing is started under a copy; long after its limit it is."""
    work, project, entry = dead
    StopJournal(work.home).write(project.name, replace(entry, holder=this_process()))
    assert lives(this_process())
    assert revive(work.home, work.engine) == []
    assert not running(project)
    (revived,) = revive(work.home, work.engine, datetime.now(UTC) + timedelta(seconds=400))
    assert "longer than 300 s" in str(revived)
    assert running(project)


def test_one_that_was_removed_meanwhile_holds_nothing_up(dead):
    """The others are started, the entry is cleared."""
    work, project, entry = dead
    gone = StoppedContainer("0" * 64, "gone", "gone")
    StopJournal(work.home).write(project.name, replace(entry, containers=(gone, *entry.containers)))
    revive(work.home, work.engine)
    assert running(project)
    assert StopJournal(work.home).empty


def test_what_belongs_to_another_engine_or_cannot_be_read_stays_and_is_told(dead):
    """Nothing is forgotten silently, and one bad entry does not hide another."""
    work, project, entry = dead
    journal = StopJournal(work.home)
    path = journal.write(project.name, replace(entry, engine="another"))
    (revived,) = revive(work.home, work.engine)
    assert "another engine" in str(revived)
    path.write_text(json.dumps({"schema": 99}))
    assert "cannot be read" in str(revive(work.home, work.engine)[0])
    assert path.exists()
    assert keep_watch(work.home, every=0.1, limit=0.1)
    assert not journal.empty


def test_only_one_watches(scene):
    """A second one ends at once; nothing stopped: the first ends as well."""
    _, _, work = scene
    assert not guarded(work.home)
    assert keep_watch(work.home)
    assert not guarded(work.home)

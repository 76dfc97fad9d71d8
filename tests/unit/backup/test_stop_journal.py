"""The journal of stops: what it says survives, and whose holder is dead is known."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import pytest

from blocks.backup.stop_journal import StopJournal, lives, start_of, this_boot, this_process
from blocks.home import Home
from compose.stack.backup.stop_journal import Holder, StopEntry, StoppedContainer, parse_entry, to_start

ENTRY = StopEntry(
    "one", "t-x", "engine", (StoppedContainer("aa", "t-x-db-1", "db"), StoppedContainer("bb", "t-x-web-1", "web")),
    Holder(1, 2, "boot"), "2026-11-24T03:00:00+00:00", 300.0, "copy",
)  # fmt: skip


def test_an_entry_is_read_as_it_was_written():
    """Nothing is lost on the way through the file."""
    assert parse_entry(ENTRY.to_json()) == ENTRY


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2}', '{"schema": 1, "containers": 3}'])
def test_what_is_no_entry_is_said_so(text):
    """Cut short, of another schema or of another shape: ValueError, nothing else."""
    with pytest.raises(ValueError):  # noqa: PT011 - any text will do
        parse_entry(text)


@pytest.mark.parametrize(
    ("boot", "started", "alive"), [("b", 7, True), ("b", 8, False), ("c", 7, False), ("b", None, False)]
)
def test_a_holder_is_its_pid_its_start_and_its_boot(boot, started, alive):
    """A reused pid, another boot and nobody at all are not it."""
    assert Holder(5, 7, "b").lives(boot, started) is alive


def test_what_a_living_holder_keeps_stopped_is_left_alone():
    """A dead run's container that a living run has stopped meanwhile is not started under it."""
    other = replace(ENTRY, id="two", containers=ENTRY.containers[1:])
    assert [one.id for one in to_start(ENTRY, [other])] == ["aa"]
    assert [one.id for one in to_start(ENTRY, [])] == ["aa", "bb"]


def test_we_live_and_an_ended_child_does_not():
    """Ourselves by /proc; a child that has ended but was not waited for is dead."""
    assert lives(this_process())
    child = subprocess.Popen(["sleep", "60"])
    holder = Holder(child.pid, start_of(child.pid) or 0, this_boot())
    assert lives(holder)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not lives(holder)
    child.wait()
    assert not lives(holder)


def test_the_journal_holds_entries_of_all_stacks_until_they_are_cleared(tmp_path):
    """Oldest first, files for their owner only."""
    journal = StopJournal(Home(tmp_path))
    later = replace(ENTRY, id="two", at="2026-11-24T04:00:00+00:00")
    with journal.locked():
        second, first = journal.write("b", later), journal.write("a", ENTRY)
    assert [entry for _, entry in journal.scan()[0]] == [ENTRY, later]
    assert first.stat().st_mode & 0o777 == 0o600
    journal.clear(first)
    journal.clear(first)
    assert not journal.empty
    journal.clear(second)
    assert journal.empty


def test_an_entry_that_cannot_be_read_is_named(tmp_path):
    """It is neither taken for an empty journal nor does it hide the others."""
    journal = StopJournal(Home(tmp_path))
    path = journal.write("a", ENTRY)
    journal.write("b", ENTRY)
    path.write_text("{")
    assert not journal.empty
    found, wrong = journal.scan()
    assert [entry for _, entry in found] == [ENTRY]
    assert "one.json cannot be read" in wrong[0]

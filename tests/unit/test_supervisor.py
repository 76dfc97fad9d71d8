"""Detached processes: found again, told from strangers, stopped."""

import json
import os
import sys
from dataclasses import asdict, replace

import pytest

from blocks.supervisor import Process, Supervisor, fingerprint
from compose.stack.errors import Failed

STAY = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")


@pytest.fixture
def keeper(tmp_path):
    keeper = Supervisor(tmp_path / "run", tmp_path / "logs")
    yield keeper
    keeper.stop("it", grace=0)


def said_up(keeper):
    return lambda: keeper.log("it").read_text() == "up\n"


def test_started_found_and_stopped(keeper):
    """A started process is found by name in its own session, until it is stopped."""
    process = keeper.start("it", STAY, {"A": "1"})
    keeper.wait("it", said_up(keeper), 10)
    assert keeper.running("it") == process
    assert os.getsid(process.pid) == process.pid
    assert process.fingerprint == fingerprint(STAY, {"A": "1"}) != fingerprint(STAY, {"A": "2"})
    assert keeper.stop("it")
    assert keeper.running("it") is None
    assert not keeper.stop("it")


def test_a_reused_pid_is_not_ours(keeper):
    """A record with our own test's pid and another start time or boot names nobody."""
    process = keeper.start("it", STAY, {})
    keeper.stop("it", grace=10)
    stranger = replace(process, pid=os.getpid())
    for record in (stranger, replace(stranger, boot="another")):
        (keeper.run / "it.json").write_text(json.dumps(asdict(record)))
        assert keeper.running("it") is None


def test_found_when_its_record_was_never_written(keeper):
    """Whoever started it was killed before the record: the mark in its environment finds it."""
    process = keeper.start("it", STAY, {})
    (keeper.run / "it.json").unlink()
    found = keeper.running("it")
    assert isinstance(found, Process)
    assert found.pid == process.pid


def test_a_process_that_dies_is_reported_with_its_last_words(keeper):
    """Waiting ends as soon as it is dead, not at the time-out."""
    keeper.start("it", (sys.executable, "-c", "print('no such table'); raise SystemExit(3)"), {})
    with pytest.raises(Failed, match="no such table"):
        keeper.wait("it", lambda: False, 30)


def test_one_that_ignores_the_request_is_killed(keeper):
    """After the grace period the whole group goes."""
    deaf = "import signal,time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    keeper.start("it", (sys.executable, "-c", deaf), {})
    keeper.wait("it", said_up(keeper), 10)
    assert keeper.stop("it", grace=0.3)
    assert keeper.running("it") is None


def test_what_is_not_installed_is_named(keeper):
    """No traceback for a missing program."""
    with pytest.raises(Failed, match="cannot start no-such-program"):
        keeper.start("it", ("no-such-program",), {})

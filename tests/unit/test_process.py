"""A process that ends at once still does all that it should."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys, threading, time
from deployments.process import run_and_leave
def command():
    atexit.register(lambda: print("registered"))
    threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()
    print("printed")
    {end}
run_and_leave(command)
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [("pass", 0), ("sys.exit(4)", 4), ("sys.exit()", 0), ("sys.exit('said')", 1), ("1 / 0", 1)],
)
def test_exit_code_output_threads_and_last_calls_are_as_ever(end: str, code: int) -> None:
    """Nothing is lost: output through a pipe, threads, what asked to be run at the end, the exit code."""
    argv = (sys.executable, "-c", PROGRAM.format(end=end))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (code, ["printed", "thread", "registered"])

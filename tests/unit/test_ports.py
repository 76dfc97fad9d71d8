"""The holder of a port is named."""

import os
import socket
from pathlib import Path

import pytest

from blocks.ports import holder, process_of


def test_names_the_process_that_listens():
    """A socket of our own is found under our own pid; a free port has no holder."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert holder(port) == ""
        listener.listen()
        assert f"(pid {os.getpid()})" in holder(port)
    assert holder(port) == ""


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["/usr/bin/redis-server", "--requirepass", "canary"], "redis-server (pid 12)"),
        (["celery", "redis://:canary@db/0"], "celery (pid 12)"),
        (["python", "manage.py", "PASSWORD=canary"], "python manage.py (pid 12)"),
        (["docker-proxy", "-proto", "tcp"], "docker-proxy (pid 12)"),
        ([], "a process (pid 12)"),
    ],
)
def test_a_holder_is_named_without_its_options(tmp_path: Path, words: list[str], shown: str) -> None:
    """Arguments may hold a password: the program is enough, with its pid."""
    (tmp_path / "12" / "fd").mkdir(parents=True)
    (tmp_path / "12" / "fd" / "3").symlink_to("socket:[77]")
    (tmp_path / "12" / "cmdline").write_bytes("\0".join(words).encode())
    assert process_of({"77"}, tmp_path) == shown

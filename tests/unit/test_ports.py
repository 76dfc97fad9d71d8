"""The holder of a port is named."""

import os
import socket

from blocks.ports import holder


def test_names_the_process_that_listens():
    """A socket of our own is found under our own pid; a free port has no holder."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        assert holder(port) == ""
        listener.listen()
        assert f"(pid {os.getpid()})" in holder(port)
    assert holder(port) == ""

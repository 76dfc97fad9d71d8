"""The stack's lock: shared by those who only look, alone for whoever touches; free when its holders are dead."""

from __future__ import annotations

import threading

import pytest

from blocks.lock import lock_holder, shared_lock, stack_lock
from compose.stack.errors import Locked

ENGINE = "t-lock"


def test_readers_share_and_keep_changes_out() -> None:
    """A deployment is refused while a backup reads, and the holder is named."""
    with shared_lock(ENGINE, "one", "backup"), shared_lock(ENGINE, "one", "copy"):
        assert lock_holder(ENGINE, "one") is None, "nobody touches anything: it may be judged"
        with pytest.raises(Locked, match="copy"), stack_lock(ENGINE, "one", "deploy"):
            pass
    with (
        stack_lock(ENGINE, "one", "deploy"),
        pytest.raises(Locked, match="deploy"),
        shared_lock(ENGINE, "one", "backup"),
    ):
        pass


def test_alone_while_it_touches_and_shared_again_after() -> None:
    """Another reader must let go first; afterwards it comes in again."""
    with shared_lock(ENGINE, "two", "backup") as lock:
        with lock.alone(1.0):
            assert "backup" in str(lock_holder(ENGINE, "two"))
            with pytest.raises(Locked), shared_lock(ENGINE, "two", "copy"):
                pass
        with shared_lock(ENGINE, "two", "copy"), pytest.raises(Locked), lock.alone(0.1):
            pass
        with lock.alone(1.0):
            pass


def test_threads_of_one_holder_take_turns() -> None:
    """Two stores that are stopped at once do not both believe to be alone."""
    inside: list[int] = []
    most: list[int] = []
    with shared_lock(ENGINE, "three", "backup") as lock:

        def touch() -> None:
            for _ in range(20):
                with lock.alone(5.0):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()

        threads = [threading.Thread(target=touch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert max(most) == 1

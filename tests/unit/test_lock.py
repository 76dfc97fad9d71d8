"""The stack's lock: shared by those who only look, alone for whoever touches; free when its holders are dead."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from blocks.lock import lock_holder, lock_path, shared_lock, stack_lock
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


def test_the_place_is_the_same_for_everybody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that only its owner may write to is none: root and users would take two locks."""
    mine, ours = tmp_path / "mine", tmp_path / "ours"
    for place, mode in ((mine, 0o755), (ours, 0o1777)):
        place.mkdir()
        place.chmod(mode)
    monkeypatch.setattr("blocks.lock.PLACES", (tmp_path / "none", mine, ours))
    assert lock_path(ENGINE, "three").parent == ours


def test_a_file_that_is_there_is_opened_without_making_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel refuses O_CREAT on another user's file in a sticky directory, root included."""
    tmp_path.chmod(0o1777)
    monkeypatch.setattr("blocks.lock.PLACES", (tmp_path,))
    with stack_lock(ENGINE, "four", "deploy"):
        pass
    made: list[int] = []
    real = os.open

    def protected(path: Any, flags: int, *rest: Any) -> int:
        if flags & os.O_CREAT and Path(path).exists() and not flags & os.O_EXCL:
            raise PermissionError(13, "Permission denied")
        made.append(flags & os.O_CREAT)
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", protected)
    with stack_lock(ENGINE, "four", "deploy"):
        assert "deploy" in str(lock_holder(ENGINE, "four"))
    assert not any(made)
    assert lock_path(ENGINE, "four").stat().st_mode & 0o777 == 0o666

"""What a verification may say of a backup: only what is missing or wrong speaks against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blocks.backup.identities import NOBODY
from blocks.backup.verify import verify_bytes
from blocks.targets.s3_errors import Answered
from compose.stack.backup.postgres_compare import computed
from compose.stack.backup.records import Verified
from compose.stack.backup.request import VerifyBackupRequest
from compose.stack.backup.tools import undecided
from compose.stack.errors import Damaged, Failed
from tasks.backup.beside import Beside, Together
from tasks.backup.pouring import reached
from tasks.backup.proving import _verified, _verified_or_not
from tasks.backup.shelves import _shelfful
from tests.backup_lab import BackupLab
from tests.fakes.memory_target import MemoryTarget


class Flaky(MemoryTarget):
    """Answers 503 when it is asked for some keys, or does something else first."""

    busy = "nothing"
    before_reading: Callable[[str], None] = staticmethod(lambda key: None)

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See `Target`."""
        if self.busy in key:
            raise Answered("answered SlowDown (503) when asked to read", where=key, code_there="SlowDown")
        self.before_reading(key)
        return super().read(key, start, length)


@pytest.fixture
def lab(tmp_path: Path) -> BackupLab:
    return BackupLab(tmp_path)


@pytest.mark.parametrize("busy", ["app.dump", "blobs.jsonl", "/pool/"])
def test_a_server_that_is_busy_says_nothing_of_a_backup(lab: BackupLab, busy: str) -> None:
    """It has not passed, the run fails, and nothing is on record against it."""
    target = Flaky()
    manifest = lab.backup({"memory": target})
    target.busy = busy
    looked = verify_bytes(lab.shelf(target), manifest.id)
    assert looked.problems == ()
    assert "SlowDown" in looked.unread[0]
    assert not looked.passed
    assert looked.fact is None


def test_damage_is_damage_also_where_the_rest_could_not_be_read(lab: BackupLab) -> None:
    """Only what is wrong is in the record."""
    target = Flaky()
    manifest = lab.backup({"memory": target})
    target.delete(lab.prefix(manifest.id) + manifest.components[0].files[0].path)
    target.busy = "app.dump"
    fact = verify_bytes(lab.shelf(target), manifest.id).fact
    assert fact is not None
    assert not fact.passed
    assert [problem.rpartition(": ")[2] for problem in fact.problems] == ["is missing"]


def test_a_backup_that_changes_while_it_is_read_is_not_called_damaged(lab: BackupLab, tmp_path: Path) -> None:
    """Its keys are changed, or it is let go: what was found is of something that is there no more."""
    target = Flaky()
    manifest = lab.backup({"memory": target})
    shelf, request = lab.shelf(target), VerifyBackupRequest(id=manifest.id)

    def expires(key: str) -> None:
        if "app.dump" in key:
            shelf.delete_backup(manifest.id)

    one = _shelfful(shelf)
    target.before_reading = expires  # type: ignore[method-assign]
    found = _verified(one, manifest.id, request, NOBODY, tmp_path / "index.sqlite")
    assert found.problems == []
    assert "replaced or removed" in found.unread[0]
    assert not list(target.list(lab.prefix(manifest.id)))


def test_what_ails_one_target_does_not_keep_the_others_from_being_read(lab: BackupLab, tmp_path: Path) -> None:
    """A backup that is not there any more, when its turn comes, is not proven there."""
    made = lab.backup({"memory": MemoryTarget()})
    empty = _shelfful(lab.shelf(MemoryTarget()))
    found = _verified_or_not(empty, made.id, VerifyBackupRequest(), NOBODY, tmp_path / "i")
    assert (found.problems, len(found.unread)) == ([], 1)


def test_a_weaker_look_says_that_damage_is_known(lab: BackupLab, tmp_path: Path) -> None:
    """The hashes fit, the rows are not those: that the hashes fit is no proof."""
    target = MemoryTarget()
    manifest = lab.backup({"memory": target})
    wrong = Verified(level="content", passed=False, problems=("table orders: its rows are not those",))
    lab.shelf(target).append_record(manifest.id, wrong)
    found = _verified(_shelfful(lab.shelf(target)), manifest.id, VerifyBackupRequest(), NOBODY, tmp_path / "i")
    assert found.problems == []
    assert "table orders" in found.unread[0]
    assert lab.shelf(target).facts(manifest.id).damaged == wrong.problems


def test_the_bytes_are_on_record_though_the_engine_is_gone(
    lab: BackupLab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The content is not proven, and not damaged."""

    def gone() -> None:
        raise Failed("the engine does not answer")

    monkeypatch.setattr("tasks.backup.proving.Engine.connect", gone)
    target = MemoryTarget()
    manifest = lab.backup({"memory": target})
    request = VerifyBackupRequest(level="content")
    found = _verified(_shelfful(lab.shelf(target)), manifest.id, request, NOBODY, tmp_path / "i")
    assert (found.problems, found.unread) == ([], ["the engine does not answer"])
    facts = lab.shelf(target).facts(manifest.id)
    assert (facts.verified, facts.damaged) == ("bytes", ())


def found_by(reads: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    """What a check finds in a stream that is longer than its pipe."""
    check = Together(Beside(reads, "a"), Beside(lambda pipe: {"bytes": len(b"".join(pipe.chunks()))}, "b"))
    for _ in range(5):
        check.write(b"x" * 1024 * 1024)
    return check.finish()


@pytest.mark.parametrize("error", [Failed("the tool did not end in 3600 s"), OSError(28, "full"), MemoryError()])
def test_a_check_that_could_not_be_made_says_so_and_lets_the_stream_pass(error: Exception) -> None:
    """The rest is still read by the others."""

    def reads(pipe: Any) -> dict[str, Any]:
        raise error

    found = found_by(reads)
    assert found["bytes"] == 5 * 1024 * 1024
    assert len(found["unproven"]) == 1


@pytest.mark.parametrize(("verify", "level"), [("content", "none"), ("none", "none")])
def test_what_could_not_be_checked_on_the_way_is_saved_with_a_note(verify: str, level: str) -> None:
    """The level is not reached, and it is no part of the fingerprint."""
    found = {"files": 3, "unproven": ["the tool did not end in 3600 s"]}
    saving: Any = SimpleNamespace(verify=verify)
    assert reached(saving, found) == (level, ("not read by its own tool: the tool did not end in 3600 s",))
    assert found == {"files": 3}
    assert reached(SimpleNamespace(verify="content"), found) == ("content", ())  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [Damaged("half of it is missing"), ValueError("no number")])
def test_a_stream_that_is_not_understood_is_damaged(error: Exception) -> None:
    """Also where the reader had no words for it."""

    def reads(pipe: Any) -> dict[str, Any]:
        raise error

    with pytest.raises(Damaged):
        found_by(reads)


@pytest.mark.parametrize(
    ("code", "said", "starved", "why"),
    [
        (0, "out of memory, and went on", False, ""),
        (1, "checksum mismatch", False, ""),
        (139, "", False, ""),
        (137, "", True, "ran out of memory or of room"),
        (1, "java.lang.OutOfMemoryError: Java heap space", False, "ran out of memory or of room"),
        (2, "write /scratch/x: No space left on device", False, "ran out of memory or of room"),
        (137, "", False, "was killed"),
        (127, "sh: promtool: not found", False, "cannot be run in this image"),
    ],
)
def test_the_end_of_a_tool_is_a_verdict_or_none(code: int, said: str, starved: bool, why: str) -> None:
    """A lack of memory, room or the program is none."""
    assert undecided(code, said, starved=starved) == why


def test_what_a_dump_does_not_hold_is_no_fault_of_it() -> None:
    """A materialized view is computed again: from another server's tables it cannot be."""
    said = (
        'pg_restore: error: could not execute query: ERROR:  could not connect to server "far"\n'
        "Command was: {} public.far;\n"
    )
    assert computed(said.format("REFRESH MATERIALIZED VIEW"))
    assert not computed(said.format("ALTER TABLE"))

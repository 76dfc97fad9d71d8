"""Names, ids, records, quiet times and the health report of the FAISS service."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from faiss_service.errors import ApiError, Damaged
from faiss_service.gate import Gate
from faiss_service.health import report
from faiss_service.records import Record, check_vectors, ids_for, parse
from faiss_service.requests import Addition, Creation
from faiss_service.settings import Settings, SettingsError
from pydantic import ValidationError

RECORD = Record("notes", 2, "l2", 3, 1, "notes.3.index", "ab", 5)


def test_a_record_is_read_back_as_it_was_written() -> None:
    """Its text holds all of it; another form, or no record at all, counts as damage."""
    assert parse(RECORD.text()) == RECORD
    for text in ("", "[]", "{}", RECORD.text().replace('"schema": 1', '"schema": 2')):
        with pytest.raises(Damaged):
            parse(text)


@pytest.mark.parametrize(
    ("given", "count", "wanted"),
    [(None, 2, ([5, 6], 7)), ([9, 2], 2, ([9, 2], 10)), ([0], 1, ([0], 5))],
)
def test_ids(given: list[int] | None, count: int, wanted: tuple[list[int], int]) -> None:
    """The next free ones, or the client's own; no id is ever given out twice."""
    assert ids_for(given, count, 5) == wanted


@pytest.mark.parametrize(("given", "count"), [([1], 2), ([1, 1], 2)])
def test_ids_that_do_not_fit_are_refused(given: list[int], count: int) -> None:
    """One for each vector, each once."""
    with pytest.raises(ApiError, match="id"):
        ids_for(given, count, 0)


def test_a_vector_of_another_dimension_is_named() -> None:
    """The place of the first one and both numbers."""
    with pytest.raises(ApiError, match="vector 1 has 3 numbers, the index has 2"):
        check_vectors([[1, 2], [1, 2, 3]], 2)


@pytest.mark.parametrize("name", ["../etc", "", "A", "a.b", "a/b", "-a", "x" * 64])
def test_names_that_are_no_file_names_are_refused(name: str) -> None:
    """Nothing outside the folder can be named."""
    with pytest.raises(ValidationError):
        Creation(index=name, dimension=2)


def test_numbers_that_are_none_are_refused() -> None:
    """NaN and infinity would be near to nothing for ever."""
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValidationError):
            Addition(index="a", vectors=[[bad]])


def test_writes_wait_until_the_quiet_time_is_over() -> None:
    """Refused while it lasts longer than they may wait, through at once when it was called off."""
    now = [100.0]
    gate = Gate(lambda: now[0])
    gate.close(50, within=1)
    assert gate.quiet_for == 50
    with pytest.raises(ApiError, match="writes wait for 50 s more"), gate.writing(within=0):
        pass
    gate.close(0, within=1)
    with gate.writing(within=0):
        assert gate.quiet_for == 0
    gate.close(50, within=1)
    now[0] += 50
    with gate.writing(within=0):
        pass


def test_a_waiting_write_goes_on_when_the_quiet_time_is_called_off() -> None:
    """It is not refused, it is late."""
    gate, passed = Gate(), threading.Event()

    def write() -> None:
        with gate.writing(within=30):
            passed.set()

    gate.close(30, within=1)
    thread = threading.Thread(target=write)
    thread.start()
    assert not passed.wait(0.1)
    gate.close(0, within=1)
    assert passed.wait(10)
    thread.join()


def test_quiet_time_begins_only_after_the_write_under_way() -> None:
    """When that does not end in time the gate stays open, and this is said."""
    gate = Gate()
    with gate.writing(within=1), pytest.raises(ApiError, match="did not end"):
        gate.close(30, within=0.05)
    assert gate.quiet_for == 0


def test_health_names_what_is_wrong() -> None:
    """Damage and a folder that takes no write are 503; a quiet time is none of that."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    status, body = report([RECORD], {}, True, 3.0, now, 1.0)
    assert (status, body["status"], body["vectors"], body["quiet_for"]) == (200, "healthy", 1, 3.0)
    status, body = report([], {"notes": "gone"}, False, 0.0, now, 1.0)
    assert status == 503
    assert body["error"] == "index notes is damaged: gone; the data folder cannot be written"


def test_settings_name_every_problem_at_once() -> None:
    """And no value of a secret."""
    with pytest.raises(SettingsError, match=r"API_TOKEN is not set; PORT is not a number; MAX_VECTORS is below 1"):
        Settings.from_env({"PORT": "x", "MAX_VECTORS": "0"})
    settings = Settings.from_env({"API_TOKEN": "secret", "DATA": "/d"})
    assert settings.data == Path("/d")
    assert "secret" not in repr(settings)

"""The backend's health report and how it measures."""

import asyncio
import time
from datetime import UTC, datetime

import pytest
from backend_agi.health import Reading, report
from backend_agi.probes import Measuring, measure, measure_all

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
UP, DOWN = Reading(True, 1.26, "fine"), Reading(False, 2000.0, "no answer within 2 s")


def test_report_has_the_fields_of_the_document() -> None:
    """status, timestamp, uptime, version and services are where they always were."""
    status, body = report({"postgresql": UP, "redis": UP}, {}, NOW, 12.3456, None)
    assert status == 200
    assert body["status"] == "healthy"
    assert body["timestamp"] == "2026-01-02T03:04:05+00:00"
    assert body["uptime"] == 12.346
    assert body["version"] == "17.0.0"
    assert body["services"]["redis"] == {"status": "up", "latency_ms": 1.3, "detail": "fine"}
    assert "error" not in body


def test_one_service_down_is_503_and_named() -> None:
    """Degraded is never 200."""
    status, body = report({"postgresql": UP, "redis": DOWN}, {}, NOW, 1, None)
    assert (status, body["status"], body["error"]) == (503, "degraded", "down: redis")


def test_agents_are_shown_and_do_not_decide() -> None:
    """An agent starts after the backend, which therefore must not wait for it."""
    status, body = report({"redis": UP}, {"task_coordinator": DOWN}, NOW, 1, None)
    assert status == 200
    assert body["agents"]["task_coordinator"]["status"] == "down"


def test_a_check_that_hangs_is_down_in_time() -> None:
    """The time-out ends a check, and its text says so."""

    async def hang() -> str:
        await asyncio.sleep(60)
        return "never"

    reading = asyncio.run(measure(hang, 0.02, ()))
    assert not reading.up
    assert reading.detail == "no answer within 0.02 s"


def test_checks_run_at_the_same_time() -> None:
    """Each check waits until all have begun: one after the other none would end."""

    async def all_measured() -> dict[str, Reading]:
        everyone = asyncio.Barrier(5)

        async def check() -> str:
            await everyone.wait()
            return "met"

        return await measure_all({str(number): check for number in range(5)}, 5, ())

    began = time.monotonic()
    assert all(reading.up for reading in asyncio.run(all_measured()).values())
    assert time.monotonic() - began < 5


def test_requests_at_the_same_time_share_a_measurement() -> None:
    """A flood of health requests is one round trip; the next one after it measures anew."""
    counted = 0

    async def check() -> str:
        nonlocal counted
        counted += 1
        await asyncio.sleep(0)
        return "fine"

    async def flood() -> None:
        measuring = Measuring({"a": check}, 1, ())
        await asyncio.gather(*(measuring.readings() for _ in range(50)))
        assert counted == 1
        await measuring.readings()
        assert counted == 2

    asyncio.run(flood())


@pytest.mark.parametrize("error", [RuntimeError("login as u with pw=hunter2 failed\nmore"), KeyError("hunter2")])
def test_secrets_are_not_in_details(error: Exception) -> None:
    """What an error says is shown as one line without secrets."""

    async def fail() -> str:
        raise error

    reading = asyncio.run(measure(fail, 1, ["hunter2"]))
    assert not reading.up
    assert "hunter2" not in reading.detail
    assert "\n" not in reading.detail

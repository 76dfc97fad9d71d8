"""What a task looks like, who gets it, and what the report says."""

from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from task_coordinator.agents import Agents, Faulty, NotReachable, Refused
from task_coordinator.health import Reading, measure_all, report
from task_coordinator.metrics import exposition
from task_coordinator.records import Answer, Claim, view
from task_coordinator.requests import Assignment, NobodyFits, Registration, choose_agent
from task_coordinator.settings import Settings, SettingsError

REGISTERED = {"aider": {"capabilities": ["code"]}, "crewai": {"capabilities": ["code", "plan"]}}
CLAIM = Claim("id", "1-0", 1, "prompt", "", "", 0)


def test_view_of_a_task() -> None:
    """Counts are numbers, times ISO 8601, what is not there null."""
    shown = view({"id": "x", "state": "queued", "prompt": "p", "created": "0.5", "claims": "2"})
    assert shown["attempts"] == 2
    assert shown["created"] == "1970-01-01T00:00:00.500000+00:00"
    assert (shown["result"], shown["finished"], shown["demonstration"]) == (None, None, False)


def test_answer_round_trip() -> None:
    """What a worker writes is what the API shows."""
    fields = Answer("text", "m:1", "abc", True, 7, 1.5).fields()
    shown = view({"id": "x", "state": "finished", **fields})
    keys = ("result", "model", "digest", "demonstration", "tokens", "seconds")
    assert [shown[key] for key in keys] == ["text", "m:1", "abc", True, 7, 1.5]


@pytest.mark.parametrize(
    ("asked", "agent"),
    [
        ({}, "model"),
        ({"agent": "model"}, "model"),
        ({"agent": "crewai"}, "crewai"),
        ({"capability": "code"}, "aider"),
        ({"capability": "plan"}, "crewai"),
    ],
)
def test_agent_by_name_or_capability(asked: dict[str, str], agent: str) -> None:
    """The model does what nobody else was asked for."""
    assert choose_agent(Assignment.model_validate({"task": "x", **asked}), REGISTERED) == agent


@pytest.mark.parametrize("asked", [{"agent": "nobody"}, {"capability": "fly"}])
def test_nobody_fits(asked: dict[str, str]) -> None:
    """A task for nobody is refused, not given to somebody."""
    with pytest.raises(NobodyFits):
        choose_agent(Assignment.model_validate({"prompt": "x", **asked}), REGISTERED)


@pytest.mark.parametrize("url", ["ftp://a", "http://user:pw@a", "http://", "file:///etc/passwd", "http://a b"])
def test_addresses_of_agents(url: str) -> None:
    """Only plain HTTP addresses without credentials."""
    with pytest.raises(ValidationError):
        Registration(name="a", url=url)


def agents(status: int, body: Any = None) -> Agents:
    """Agents whose model server always answers the same."""
    transport = httpx.MockTransport(lambda _request: httpx.Response(status, json=body))
    return Agents(httpx.Client(transport=transport), "http://ollama", ["m:1"], 8)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, {"models": []}, NotReachable),
        (200, {"models": [{"name": "m:1", "digest": "d"}], "response": " \n"}, Refused),
        (400, {}, Refused),
        (404, {}, Refused),
        (500, {}, Faulty),
        (200, ["not an object"], Faulty),
    ],
)
def test_what_goes_wrong_is_sorted(status: int, body: Any, error: type[Exception]) -> None:
    """No model yet: wait. Refused or empty: fail. Trouble on the server: try again."""
    with pytest.raises(error):
        agents(status, body).work(CLAIM, {})


def test_an_agent_that_left_refuses() -> None:
    """A task for an agent that is no longer registered ends with that reason."""
    claim = Claim("id", "1-0", 1, "prompt", "gone", "", 0)
    with pytest.raises(Refused, match="gone is not registered"):
        agents(200).work(claim, {})


def test_report_counts_workers_too() -> None:
    """A dead worker is degraded, even when every dependency answers."""
    up = {"redis": Reading(True, 1, "")}
    dead: dict[str, object] = {"name": "w", "pid": 1, "alive": False, "restarts": 3}
    status, body = report(up, [dead], {"waiting": 1, "leased": 0}, 5)
    assert (status, body["status"], body["version"]) == (503, "degraded", "17.0.0")
    text = exposition(body).decode()
    assert "sutazai_coordinator_workers_alive 0.0" in text
    assert 'sutazai_queue_tasks{place="waiting"} 1.0' in text
    assert report(up, [{**dead, "alive": True}], None, 5)[0] == 200


def test_a_failing_check_is_down_with_its_reason() -> None:
    """Whatever a check raises is the finding."""

    def fail() -> str:
        raise ConnectionError("refused\nmore")

    readings = measure_all({"a": fail, "b": lambda: "fine"})
    assert readings["a"].detail == "ConnectionError: refused"
    assert readings["b"].shown()["status"] == "up"


def test_settings_name_every_problem_and_no_value() -> None:
    """All at once; secrets are not in the repr."""
    env = {"REDIS_HOST": "r", "REDIS_PASSWORD": "hidden", "OLLAMA_URL": "http://o/", "API_TOKEN": "hidden"}
    with pytest.raises(SettingsError) as raised:
        Settings.from_env({**env, "WORKERS": "0", "TASK_LEASE_SECONDS": "soon"})
    for part in ("MODEL_PREFERENCE is not set", "WORKERS is below 1", "TASK_LEASE_SECONDS is not a number"):
        assert part in str(raised.value)
    settings = Settings.from_env({**env, "MODEL_PREFERENCE": "a, b"})
    assert settings.models == ("a", "b")
    assert "hidden" not in repr(settings)

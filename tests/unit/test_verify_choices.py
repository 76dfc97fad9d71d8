"""Which checks a service gets, and what its containers alone tell."""

from __future__ import annotations

from typing import Any

import pytest

from compose.stack.catalogue import parse_catalogue
from compose.stack.errors import Refused
from compose.stack.observed import Container
from compose.stack.probes import Answer, HttpProbe, PostgresProbe, Readiness, TcpProbe
from compose.stack.round_trips import (
    BackendTrip,
    HttpTrip,
    OllamaTrip,
    PostgresTrip,
    RedisTrip,
    ready_probe,
    reported_services,
    trip_of,
)
from compose.stack.service import Stack, parse_stack
from compose.stack.tuning import Setting, differences, promised, same
from compose.stack.verdicts import Level, Mark
from compose.stack.verification import mark_of, presence, wanted_services


def stack(**services: dict[str, Any]) -> Stack:
    return parse_stack({"name": "t", "services": services})


def container(state: str = "running", code: int = 0, number: int = 1) -> Container:
    return Container(id=f"c{number}", name="c", service="app", number=number, state=state, exit_code=code)


def test_roles_bring_their_round_trips() -> None:
    one = stack(db={"image": "postgres:16"}, cache={"image": "redis:7"}, llm={"image": "ollama/ollama"})
    assert [type(trip_of(one, name)) for name in one.services] == [PostgresTrip, RedisTrip, OllamaTrip]
    assert trip_of(one, "db").port == 5432  # type: ignore[union-attr]


def test_the_file_names_a_round_trip_that_no_role_has() -> None:
    said = {"verify": {"kind": "http", "paths": ["/a"]}, "probe": {"http": {"port": 81}}}
    one = stack(app={"image": "x", "x-ops": said})
    assert trip_of(one, "app") == HttpTrip(paths=("/a",), port=81)


def test_a_service_of_which_nothing_is_known_has_no_round_trip() -> None:
    one = stack(app={"image": "x"}, told={"image": "postgres:16", "x-ops": {"verify": {"kind": "none"}}})
    assert trip_of(one, "app") is None
    assert trip_of(one, "told") is None


@pytest.mark.parametrize("said", [{"kind": "magic"}, {"kind": "redis", "prot": 1}, {"paths": ["/"]}])
def test_a_verify_block_that_is_not_understood_is_refused_by_name(said: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=r"services\.app\.x-ops\.verify"):
        trip_of(stack(app={"image": "x", "x-ops": {"verify": said}}), "app")


def test_readiness_is_the_protocol_the_route_or_nothing() -> None:
    published = {"image": "x", "ports": [{"target": 9000, "published": "9000"}]}
    one = stack(db={"image": "postgres:16"}, llm={"image": "ollama/ollama"}, app=published, bare={"image": "x"})
    assert ready_probe(one, "db") == PostgresProbe(strict=True)
    assert ready_probe(one, "llm") == HttpProbe(11434, "/api/version")
    assert ready_probe(one, "app") is None
    assert ready_probe(one, "bare") is None


def test_names_in_a_health_report_mean_services_by_hint_name_or_role() -> None:
    one = stack(**{"pg": {"image": "postgres:16"}, "task-coordinator": {"image": "x"}, "store": {"image": "x"}})
    said = dict.fromkeys(("postgresql", "task_coordinator", "files", "elsewhere"))
    means = reported_services(one, BackendTrip(services={"files": "store"}), said)
    assert means == {
        "postgresql": "pg",
        "task_coordinator": "task-coordinator",
        "files": "store",
        "elsewhere": None,
    }


def test_promised_settings_come_from_the_hint_the_command_or_the_environment() -> None:
    one = stack(
        told={"image": "x", "environment": {"A": "1"}},
        redis={"image": "redis:7", "command": ["redis-server", "--maxmemory", "128mb"]},
        db={"image": "postgres:16", "command": ["postgres", "-c", "shared_buffers=128MB"]},
        llm={"image": "ollama/ollama", "environment": {"OLLAMA_KEEP_ALIVE": "2m"}},
        quiet={"image": "redis:7"},
    )
    assert promised(one["told"], {"a": "A"}) == (Setting("a", "1"),)
    assert promised(one["redis"], {}) == (Setting("maxmemory", "128mb"),)
    assert promised(one["db"], {}) == (Setting("shared_buffers", "128MB"),)
    assert promised(one["llm"], {}) == (Setting("OLLAMA_KEEP_ALIVE", "2m"),)
    assert promised(one["quiet"], {}) == ()


@pytest.mark.parametrize(
    ("wanted", "found", "equal"),
    [
        ("512mb", "536870912", True),
        ("256MB", "256MB", True),
        ("1GB", "1024MB", True),
        ("100m", "104857600", False),
        ("2m", "3m", False),
        ("", "", True),
        ("128mb", "", False),
    ],
)
def test_amounts_are_equal_in_whatever_unit(wanted: str, found: str, equal: bool) -> None:
    assert same(wanted, found) is equal


def test_a_setting_that_differs_is_told_with_both_values() -> None:
    assert differences((Setting("maxmemory", "128mb"),), {"maxmemory": "0"}) == (
        "maxmemory is 0, the file says 128mb",
    )


@pytest.mark.parametrize(
    ("containers", "mark", "said"),
    [
        ((), Mark.FAILED, "it has no container"),
        ((container("exited", 137),), Mark.FAILED, "its container exited with code 137"),
        ((container("exited", 0),), Mark.FAILED, "its container exited with code 0"),
        ((container("paused"),), Mark.FAILED, "its container is paused"),
        ((container("created"),), Mark.FAILED, "its container was never started"),
    ],
)
def test_a_service_that_does_not_run_fails_without_being_asked(
    containers: tuple[Container, ...], mark: Mark, said: str
) -> None:
    one = stack(app={"image": "redis:7"})
    told = presence(one, "app", containers, Level.ALIVE)
    assert told is not None
    assert (told.mark, told.detail) == (mark, said)


def test_a_missing_replica_fails_the_service() -> None:
    one = stack(app={"image": "x", "deploy": {"replicas": 2}})
    told = presence(one, "app", (container(),), Level.ALIVE)
    assert told is not None
    assert told.detail == "1 of 2 containers are there"


@pytest.mark.parametrize(
    ("state", "code", "level", "mark"),
    [
        ("exited", 0, Level.WORKING, Mark.PASSED),
        ("exited", 3, Level.ALIVE, Mark.FAILED),
        ("running", 0, Level.ALIVE, Mark.PASSED),
        ("running", 0, Level.READY, Mark.FAILED),
    ],
)
def test_a_one_shot_is_judged_by_its_exit_code(state: str, code: int, level: Level, mark: Mark) -> None:
    one = stack(app={"image": "x", "x-ops": {"oneshot": "always"}})
    told = presence(one, "app", (container(state, code),), level)
    assert told is not None
    assert told.mark is mark


def test_a_running_service_has_to_be_asked() -> None:
    assert presence(stack(app={"image": "redis:7"}), "app", (container(),), Level.ALIVE) is None


def test_a_guessed_port_at_which_nobody_answers_proves_nothing() -> None:
    guessed, declared = Readiness(TcpProbe(80), "", binding=False), Readiness(TcpProbe(80), "")
    refused = Answer(False, "refused", reached=False, refused=True)
    assert mark_of(refused, guessed, known_port=False) is Mark.NOT_PROVEN
    assert mark_of(refused, guessed, known_port=True) is Mark.FAILED
    assert mark_of(refused, declared, known_port=False) is Mark.FAILED


@pytest.mark.parametrize("silent", [Answer(False, "", reached=False), Answer(False, "", unproven=True)])
def test_what_cannot_be_asked_from_here_proves_nothing(silent: Answer) -> None:
    """No way to its address, or no password: neither good nor bad, whoever declared the probe."""
    assert mark_of(silent, Readiness(TcpProbe(80), ""), known_port=True) is Mark.NOT_PROVEN
    assert mark_of(Answer(False, "answered 503"), Readiness(TcpProbe(80), ""), known_port=False) is Mark.FAILED


def test_services_are_named_causes_first_and_those_scaled_to_zero_not_at_all() -> None:
    needs = {"depends_on": {"redis": {"condition": "service_started"}}}
    one = stack(app={"image": "x", **needs}, off={"image": "x", "deploy": {"replicas": 0}}, redis={"image": "x"})
    assert wanted_services(one) == ("redis", "app")


def test_the_catalogue_knows_models_with_or_without_tag_and_prefix() -> None:
    known = parse_catalogue({"models": [{"name": "m", "digest": "sha256:" + "ab" * 32}, {"name": "n:1"}]})
    assert known.named("m:latest") == known.models[0]
    assert known.models[0].digest == "ab" * 32
    assert known.named("n:1").digest is None  # type: ignore[union-attr]
    assert known.present(["n:1", "other"]) == (known.models[1],)


def test_a_damaged_catalogue_is_refused_with_every_problem() -> None:
    with pytest.raises(Refused, match=r"model 1 has no name.*x: its digest is no SHA-256"):
        parse_catalogue({"models": [{}, {"name": "x", "digest": "short"}]})

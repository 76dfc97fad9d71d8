"""A watched stack that cannot be looked at has failed: the verdict says so, and whoever wants to know is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock

import pytest
import requests

from blocks.alert import AlertWebhook
from blocks.engine import Engine
from blocks.home import Home
from blocks.verdict_store import VerdictStore
from compose.stack.commands import Project
from compose.stack.errors import Failed, OpsError, Refused
from compose.stack.service import parse_stack
from compose.stack.verdicts import Level, Standing, Verdict
from compose.stack.verification import VerifyRequest
from tasks import verify
from tasks.operate import Opened
from tasks.stacks import ResolvedStack, project_of

STACK = parse_stack({"name": "shop", "services": {"web": {"image": "x"}}})


@dataclass
class Told:
    """A webhook that keeps what it is sent."""

    alerts: list[dict[str, Any]] = field(default_factory=list)

    def send(self, alert: dict[str, Any]) -> None:
        self.alerts.append(alert)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in which `shop` has been deployed."""
    (tmp_path / "home" / "stacks" / "shop" / "releases").mkdir(parents=True)
    return Home(tmp_path / "home")


def look(home: Home, told: Told, connect: Any = None, **request: Any) -> verify.Verified:
    wanted = VerifyRequest(**{"files": ["/p/compose.yml"], "project_name": "shop", **request})
    return verify.verify_stack(
        wanted, home=home, webhook=cast(AlertWebhook, told), connect=connect or Engine.connect
    )


def missing(*_: object) -> Opened:
    raise Refused("required variable DB_PASSWORD is missing a value", where="compose.yml")


def test_files_that_cannot_be_read_are_a_failure_told_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing variable of a stack that is watched: failed, with the reason; recovery is told as well."""
    monkeypatch.setattr(verify, "open_stack", missing)
    told = Told()
    verified = look(home, told, level=Level.WORKING)
    assert verified.report.verdict is Verdict.FAILED
    assert "DB_PASSWORD is missing a value" in verified.summary
    assert look(home, told).change is None
    (alert,) = told.alerts
    assert "DB_PASSWORD is missing a value" in alert["reasons"][0]
    standing = VerdictStore(home.stack("shop")).standing()
    assert standing is not None
    assert standing.level is Level.ALIVE, "any level sees that it is over"


def test_a_deeper_failure_is_not_forgotten(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were away for a while take nothing back: the next check is as deep as the last failure."""
    monkeypatch.setattr(verify, "open_stack", missing)
    store = VerdictStore(home.stack("shop"))
    store.keep(Standing(Verdict.FAILED, Level.WORKING, 1.0, 1.0, ("web: broken",)), [])
    assert look(home, Told()).change is None
    standing = store.standing()
    assert standing is not None
    assert standing.level is Level.WORKING


def test_a_stack_that_nobody_knows_is_bad_input(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never deployed, never verified: nothing is recorded, and the error is the person's."""
    monkeypatch.setattr(verify, "open_stack", missing)
    told = Told()
    for request in ({"project_name": "other"}, {"files": [], "stack": "shop", "project_name": ""}):
        with pytest.raises(Refused):
            look(home, told, **request)
    assert not told.alerts
    assert not home.stack("other").exists()


def test_a_stack_that_was_taken_down_is_not_judged(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever took it down may take its files away too."""
    monkeypatch.setattr(verify, "open_stack", missing)
    VerdictStore(home.stack("shop")).mark_down("./ops down")
    assert look(home, told := Told()).report.verdict is Verdict.MAINTENANCE
    assert not told.alerts


def test_the_settings_tell_whom_to_alert_though_a_line_of_them_is_bad(home: Home) -> None:
    """A broken .env is itself what has to be told: the webhook in it is found."""
    home.env_file.write_text("HEALTH_ALERT_WEBHOOK='http://x/y'\nnot a line\n")
    webhook = AlertWebhook.from_settings(home.salvaged())
    assert webhook is not None
    assert webhook.url.get_secret_value() == "http://x/y"


class Dying:
    """An engine that answers when it is reached, and no more."""

    id = "e"

    def observe(self, project: str) -> Any:
        raise Failed("the Docker engine went away: refused")


def silent() -> Engine:
    """Its containers are listed, then it is gone."""
    client = MagicMock()
    client.api.containers.return_value = []
    client.info.side_effect = requests.exceptions.ConnectionError("refused")
    return Engine(client)


def nowhere() -> Engine:
    raise OpsError("no Docker engine answers")


class Cli:
    """A Compose whose files use no variables."""

    environment = None

    def values(self, _project: Project, _names: Sequence[str]) -> dict[str, str]:
        """What env files say."""
        return {}


@pytest.mark.parametrize("connect", [Dying, silent, nowhere])
def test_an_engine_that_goes_away_is_a_failure(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, connect: Any
) -> None:
    """Before it is asked, or between two questions: every service failed, and it is told."""
    found = ResolvedStack("shop", Project((str(tmp_path / "compose.yml"),)), home.stack("shop"), None, {})
    monkeypatch.setattr(verify, "open_stack", lambda *_: Opened(found, STACK, cast(Any, Cli())))
    verified = look(home, told := Told(), connect)
    assert [service.service for service in verified.report.failed] == ["web"]
    assert len(told.alerts) == 1


def test_a_secret_of_the_environment_stays_hidden(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wherever the files use it, and whatever says it."""
    monkeypatch.setenv("DB_PASSWORD", "canary-in-a-command")

    def leaking() -> Engine:
        raise OpsError("refused: canary-in-a-command")

    file = tmp_path / "compose.yml"
    file.write_text("services: {web: {image: x, command: '${DB_PASSWORD}', extends: {file: '${DIR}/base.yml'}}}")
    found = ResolvedStack("shop", Project((str(file),)), home.stack("shop"), None, {})
    monkeypatch.setattr(verify, "open_stack", lambda *_: Opened(found, STACK, cast(Any, Cli())))
    assert look(home, Told(), leaking).report.reasons == ("web: refused: •••",)


def test_the_project_of_files_that_compose_refuses(tmp_path: Path) -> None:
    """By the name in the file, else by its directory, as Compose does."""
    place = tmp_path / "My Shop"
    place.mkdir()
    file = place / "compose.yml"
    assert project_of([str(file)]) == "myshop"
    file.write_text("name: shop\nservices: {a: {image: '${X:?}'}}\n")
    assert project_of([str(file)]) == "shop"
    file.write_text("name: [\n")
    assert project_of([str(file)]) == "myshop"

"""Round trips over real HTTP, against a small server that answers what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from blocks.working import Scene, prove
from compose.stack.catalogue import Catalogue, Model
from compose.stack.observed import Container, Observed
from compose.stack.round_trips import (
    BackendTrip,
    CoordinatorTrip,
    ExecTrip,
    FrontendTrip,
    HttpTrip,
    OllamaTrip,
    Trip,
)
from compose.stack.service import parse_stack
from compose.stack.verdicts import Finding, Mark

DIGEST = "ab" * 32
CATALOGUE = Catalogue((Model("m:latest", digest=DIGEST), Model("old:1")))
STACK = parse_stack(
    {
        "name": "t",
        "x-ops": {"own": True},
        "services": {
            "app": {"image": "x", "environment": {"LEVEL": "2"}, "depends_on": {"db": {}, "cache": {}}},
            "db": {"image": "postgres:16"},
            "cache": {"image": "redis:7"},
        },
    }
)
Answers = dict[str, Any]


class Told:
    """A server that answers `{"METHOD /path": body or (status, body)}` and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: Answers = {}
        self.asked: list[str] = []
        told = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                key = f"{self.command} {self.path.split('?')[0]}"
                told.asked.append(key)
                said = told.answers.get(key, (404, "nothing here"))
                status, body = said if isinstance(said, tuple) else (200, said)
                data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_DELETE = _answer

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def told() -> Iterator[Told]:
    """The server, on a port of its own."""
    made = Told()
    yield made
    made.server.shutdown()
    made.server.server_close()


def scene(seen: dict[str, Mark] | None = None, run: Callable[..., tuple[int, str]] | None = None) -> Scene:
    return Scene(STACK, Observed(), CATALOGUE, run or (lambda *_: (0, "done")), seen or {})


def container(**environment: str) -> Container:
    return Container("c", "c", "app", state="running", addresses={"n": "127.0.0.1"}, environment=environment)


def go(trip: Trip, where: Scene | None = None, **environment: str) -> list[Finding]:
    return prove(trip, container(**environment), where or scene())


def marks(findings: list[Finding]) -> list[Mark]:
    return [finding.mark for finding in findings]


def tags(*models: tuple[str, str]) -> dict[str, Any]:
    return {"models": [{"name": name, "digest": digest} for name, digest in models]}


def model_answers(told: Told, text: str, tokens: int, *models: tuple[str, str]) -> None:
    told.answers["GET /api/tags"] = tags(*(models or (("m:latest", DIGEST),)))
    told.answers["POST /api/generate"] = {"response": text, "eval_count": tokens}


def test_a_model_that_answers_and_is_the_catalogues_is_proven(told: Told) -> None:
    model_answers(told, "hello there", 3)
    assert marks(go(OllamaTrip(port=told.port))) == [Mark.PASSED, Mark.PASSED]


@pytest.mark.parametrize(("text", "tokens"), [("", 3), (" \n", 3), ("hello", 0)])
def test_an_empty_answer_is_a_failure(told: Told, text: str, tokens: int) -> None:
    model_answers(told, text, tokens)
    (found,) = go(OllamaTrip(port=told.port))
    assert (found.mark, found.detail) == (Mark.FAILED, f"m:latest answered nothing ({tokens} tokens)")


def test_another_digest_than_the_catalogues_is_a_failure(told: Told) -> None:
    model_answers(told, "hello", 3, ("m:latest", "cd" * 32))
    (found,) = go(OllamaTrip(port=told.port))
    assert (found.mark, found.detail) == (
        Mark.FAILED,
        "m:latest has digest cdcdcdcdcdcd, the catalogue names abababababab",
    )
    assert "POST /api/generate" not in told.asked


def test_a_digest_that_nobody_recorded_is_not_proven(told: Told) -> None:
    model_answers(told, "hello", 3, ("old:1", "cd" * 32))
    found = go(OllamaTrip(port=told.port))
    assert marks(found) == [Mark.PASSED, Mark.NOT_PROVEN]
    assert found[1].detail == "the catalogue records no digest of old:1"


def test_our_own_stack_has_to_serve_a_model_of_the_catalogue(told: Told) -> None:
    told.answers["GET /api/tags"] = tags(("other:1", DIGEST))
    (found,) = go(OllamaTrip(port=told.port))
    assert (found.mark, found.detail) == (Mark.FAILED, "serves none of m:latest, old:1")


def health(told: Told, status: int, **services: str) -> None:
    report = {name: {"status": state, "detail": "why"} for name, state in services.items()}
    told.answers["GET /health"] = (status, {"status": "x", "services": report})


UP = {"db": Mark.PASSED, "cache": Mark.PASSED}


def test_a_report_that_is_what_we_see_passes(told: Told) -> None:
    health(told, 200, postgresql="up", redis="up")
    assert marks(go(BackendTrip(port=told.port), scene(UP))) == [Mark.PASSED]


@pytest.mark.parametrize(
    ("status", "services", "seen", "said"),
    [
        (200, {"postgresql": "up", "redis": "up"}, {**UP, "cache": Mark.FAILED}, "reports redis as up, but cache"),
        (503, {"postgresql": "up", "redis": "down"}, UP, "reports redis as down (why), but we see cache up"),
        (503, {"postgresql": "up", "redis": "down"}, {**UP, "cache": Mark.FAILED}, "and so do we see it"),
        (200, {"postgresql": "up"}, UP, "does not report cache"),
        (200, {"postgresql": "up", "redis": "down"}, UP, "answers 200 although it reports something as down"),
        (503, {"postgresql": "up", "redis": "up"}, UP, "answers 503 although it reports everything as up"),
        (200, {}, UP, "reports no services"),
    ],
)
def test_a_report_that_is_not_what_we_see_is_a_failure(
    told: Told, status: int, services: dict[str, str], seen: dict[str, Mark], said: str
) -> None:
    health(told, status, **services)
    (found,) = go(BackendTrip(port=told.port), scene(seen))
    assert found.mark is Mark.FAILED
    assert said in found.detail


def task(told: Told, **fields: Any) -> None:
    told.answers["POST /assign"] = (202, {"task_id": "7"})
    told.answers["GET /tasks/7"] = {"state": "finished", "model": "m", "digest": DIGEST, **fields}
    told.answers["DELETE /tasks/7"] = {}


def test_a_task_that_comes_back_with_text_is_proven_and_removed(told: Told) -> None:
    task(told, result="hello", tokens=3)
    found = go(CoordinatorTrip(port=told.port), API_TOKEN="canary")
    assert marks(found) == [Mark.PASSED, Mark.PASSED]
    assert told.asked[-1] == "DELETE /tasks/7"


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"result": "", "tokens": 0}, "its task came back empty (0 tokens)"),
        ({"state": "failed", "error": "no model"}, "its task failed: no model"),
        ({"result": "hello", "tokens": 3, "digest": "cd" * 32}, "the catalogue names abababababab"),
    ],
)
def test_a_task_that_brings_nothing_is_a_failure(told: Told, fields: dict[str, Any], said: str) -> None:
    task(told, **fields)
    (found,) = go(CoordinatorTrip(port=told.port), API_TOKEN="canary")
    assert found.mark is Mark.FAILED
    assert said in found.detail


def test_a_task_that_never_ends_is_a_failure(told: Told) -> None:
    task(told, state="queued")
    (found,) = go(CoordinatorTrip(port=told.port, within=0.2), API_TOKEN="canary")
    assert (found.mark, found.detail) == (
        Mark.FAILED,
        "its task is still queued: nothing wrong is said",
    )


def test_without_a_token_nothing_is_proven() -> None:
    (found,) = go(CoordinatorTrip(port=1))
    assert (found.mark, found.detail) == (Mark.NOT_PROVEN, "no token: its container has no API_TOKEN")


def test_a_secret_may_lie_in_a_file_that_the_container_names(told: Told) -> None:
    task(told, result="hello", tokens=3)
    asked: list[tuple[str, ...]] = []

    def run(_: str, argv: tuple[str, ...], __: float) -> tuple[int, str]:
        asked.append(argv)
        return 0, "canary\n"

    found = go(CoordinatorTrip(port=told.port), scene(run=run), API_TOKEN_FILE="/run/secrets/token")
    assert marks(found) == [Mark.PASSED, Mark.PASSED]
    assert asked == [("cat", "/run/secrets/token")]


def test_a_page_without_a_websocket_behind_it_is_a_failure(told: Told) -> None:
    told.answers["GET /"] = "<title>Streamlit</title>"
    (found,) = go(FrontendTrip(port=told.port, within=5))
    assert found.mark is Mark.FAILED
    assert "websocket /_stcore/stream: Invalid" in found.detail


def test_a_page_with_other_content_is_a_failure(told: Told) -> None:
    told.answers["GET /"] = "it works"
    (found,) = go(FrontendTrip(port=told.port))
    assert found.detail == "GET / answered a page without 'streamlit'"


def test_paths_are_all_fetched(told: Told) -> None:
    told.answers.update({"GET /a": "x", "GET /b": (500, "x")})
    assert marks(go(HttpTrip(port=told.port, paths=("/a",)))) == [Mark.PASSED]
    (found,) = go(HttpTrip(port=told.port, paths=("/a", "/b")))
    assert (found.mark, found.detail) == (Mark.FAILED, "GET /b answered 500")


def test_nobody_there_is_a_failure_with_the_path() -> None:
    (found,) = go(HttpTrip(port=1, paths=("/a",)))
    assert found.mark is Mark.FAILED
    assert found.detail.startswith("GET /a: ConnectError")


def test_a_command_is_judged_by_its_exit_code() -> None:
    trip = ExecTrip(argv=("check",))
    assert marks(go(trip, scene(run=lambda *_: (0, "fine")))) == [Mark.PASSED]
    (found,) = go(trip, scene(run=lambda *_: (3, "broken\n")))
    assert (found.mark, found.detail) == (Mark.FAILED, "exit code 3: broken")


def test_settings_of_the_environment_are_compared_with_the_file(told: Told) -> None:
    told.answers["GET /"] = "x"
    found = go(HttpTrip(port=told.port, settings={"LEVEL": "LEVEL"}), LEVEL="2")
    assert (found[1].mark, found[1].detail) == (Mark.PASSED, "LEVEL 2, as the file says")
    found = go(HttpTrip(port=told.port, settings={"LEVEL": "LEVEL"}), LEVEL="3")
    assert (found[1].mark, found[1].detail) == (Mark.FAILED, "LEVEL is 3, the file says 2")
    found = go(HttpTrip(port=told.port, settings={"OTHER": "OTHER"}))
    assert found[1].detail == "OTHER is not set, the file says nothing"

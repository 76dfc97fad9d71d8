"""Verification on a real engine: the light stack as it is, and broken on purpose."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from blocks.alert import AlertWebhook
from blocks.engine import Engine
from blocks.home import Home
from blocks.lock import stack_lock
from blocks.polling import poll
from blocks.verdict_store import VerdictStore
from blocks.working import chroma, prove
from blocks.working.scene import Scene, call
from compose.stack.catalogue import Catalogue
from compose.stack.round_trips import trip_of
from compose.stack.verdicts import Finding, Level, Mark, Verdict
from compose.stack.verification import VerifyRequest
from tasks.operate import open_stack
from tasks.verify import Verified, verify_stack
from tests import engine_state
from tests.addresses import free_ports, free_subnet
from tests.engine_state import docker
from tests.lab import Lab

COMPOSE = Path(__file__).resolve().parents[2] / "compose"
FILES = [str(COMPOSE / "docker-compose.tinyllama.yml"), str(COMPOSE / "docker-compose.offline.yml")]
PORTS = ("POSTGRES", "REDIS", "CHROMADB", "OLLAMA", "BACKEND", "FRONTEND", "COORDINATOR", "HTTP")
SECRETS = ("POSTGRES_PASSWORD", "REDIS_PASSWORD", "SECRET_KEY", "API_TOKEN")
WORKING = {
    "postgres", "redis", "chromadb", "ollama", "init-tinyllama", "backend-agi", "frontend-agi",
    "task-coordinator", "nginx", "model-registry",
}  # fmt: skip


@dataclass
class Hook:
    """A webhook on this machine, and what it was sent."""

    taken: list[dict[str, Any]] = field(default_factory=list)
    refuse: bool = False
    url: str = ""


@pytest.fixture
def hook() -> Iterator[Hook]:
    """Takes alerts, or refuses them."""
    made = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not made.refuse:
                made.taken.append(said)
            self.send_response(500 if made.refuse else 200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    made.url = f"http://127.0.0.1:{server.server_port}/alert"
    yield made
    server.shutdown()
    server.server_close()


@dataclass
class Light:
    """The light stack, running in a project of its own."""

    project: str
    env_file: Path
    values: dict[str, str]
    place: Path

    def home(self, name: str) -> Home:
        """A state directory of one test."""
        return Home(self.place / name)

    def request(self, level: Level = Level.WORKING) -> VerifyRequest:
        """The stack by its files."""
        return VerifyRequest(files=FILES, env_files=[str(self.env_file)], project_name=self.project, level=level)

    def verify(self, home: Home, level: Level = Level.WORKING, hook: Hook | None = None) -> Verified:
        """Verify it, as the command line does without Prefect."""
        webhook = AlertWebhook(SecretStr(hook.url)) if hook else None
        return verify_stack(self.request(level), home=home, webhook=webhook)

    def container(self, service: str) -> str:
        """A service's container."""
        return f"{self.project}-{service}-1"

    def await_verdict(self, home: Home, wanted: bool, hook: Hook | None = None) -> Verified:
        """Verify until the verdict is what a test waits for."""
        found: list[Verified] = []

        def done() -> bool:
            found.append(self.verify(home, Level.READY, hook))
            return found[-1].passed is wanted

        assert poll(done, 240.0), found[-1].report.reasons
        return found[-1]

    def prove(self, service: str) -> list[Finding]:
        """One service's round trip alone."""
        opened = open_stack(self.home("alone"), self.request())
        engine = Engine.connect()
        observed = engine.observe(self.project)
        trip = trip_of(opened.stack, service)
        assert trip is not None
        scene = Scene(opened.stack, observed, Catalogue(), engine.run_in)
        return prove(trip, observed.of(service)[0], scene)


@pytest.fixture(scope="module")
def light(alone: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Light]:
    """The light stack from the images built here, brought up by Compose; removed with its volumes."""
    project, place = f"t-verify-{os.getpid()}", tmp_path_factory.mktemp("verify")
    values = {key: f"canary-{secrets.token_hex(8)}" for key in SECRETS}
    ports = {f"{name}_PORT": str(port) for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)}
    subnet = free_subnet()
    lines = {"OPS_PROJECT": project, "OPS_SUBNET": subnet, **ports, **values}
    env_file = place / "env"
    env_file.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    words = [word for file in FILES for word in ("--file", file)]
    compose = ("docker", "compose", *words, "--env-file", str(env_file), "--project-name")
    subprocess.run([str(COMPOSE / "images" / "base" / "build")], check=True, capture_output=True)
    subprocess.run([*compose, "sutazai", "build", "--quiet"], check=True, capture_output=True)
    try:
        _run(*compose, project, "up", "--detach", "--wait-timeout", "180")
        made = Light(project, env_file, values, place)
        made.await_verdict(made.home("begin"), wanted=True)
        yield made
    finally:
        engine_state.remove(project)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def findings(verified: Verified, service: str) -> tuple[Finding, ...]:
    """What was found of one service."""
    return next(one.findings for one in verified.report.services if one.service == service)


@pytest.mark.stack
def test_every_service_of_the_light_stack_is_proven_working(light: Light) -> None:
    """Nothing is left unproven, and the model is the catalogue's by digest."""
    verified = light.verify(light.home("whole"))
    marks = {one.service: one.mark for one in verified.report.services}
    assert marks == dict.fromkeys(WORKING, Mark.PASSED), verified.as_dict()
    assert any("as in the catalogue" in finding.detail for finding in findings(verified, "ollama"))
    assert any("through nginx" in finding.check for finding in findings(verified, "frontend-agi"))
    for service, setting in (("postgres", "shared_buffers"), ("redis", "maxmemory"), ("ollama", "OLLAMA_KEEP")):
        assert any(finding.check.count(setting) for finding in findings(verified, service)), service


@pytest.mark.stack
def test_a_verification_leaves_nothing_in_the_stores(light: Light) -> None:
    """No table, no key, no collection, no task of ours."""
    light.verify(light.home("nothing"))
    assert leftovers(light) == {"postgres": [], "redis": [], "chromadb": []}
    coordinator = Engine.connect().observe(light.project).of("task-coordinator")[0].address
    assert httpx.get(f"http://{coordinator}:8522/tasks").json()["tasks"] == []


@pytest.mark.stack
def test_no_secret_is_in_what_a_verification_says_or_keeps(light: Light) -> None:
    """Not in the report, the verdict, the history, nor in the arguments of a process."""
    home = light.home("secrets")
    said = json.dumps(light.verify(home).as_dict())
    kept = "".join(path.read_text() for path in home.stacks.rglob("*") if path.is_file())
    for value in light.values.values():
        assert value not in said + kept


def leftovers(light: Light) -> dict[str, list[str]]:
    """What of ours lies in the stores."""
    engine = Engine.connect().observe(light.project)
    address = {service: engine.of(service)[0].address or "" for service in ("postgres", "chromadb")}
    with psycopg.connect(
        host=address["postgres"], user="sutazai", password=light.values["POSTGRES_PASSWORD"], dbname="sutazai"
    ) as connection:
        tables = connection.execute("SELECT relname FROM pg_class WHERE relname LIKE 'ops_verify%'").fetchall()
    keys = docker("exec", light.container("redis"), "redis-cli", "--scan", "--pattern", "ops-verify*").split()
    collections = httpx.get(f"http://{address['chromadb']}:8000{chroma.DATABASE}/collections").json()
    ours = [one["name"] for one in collections if one["name"].startswith("ops-verify")]
    return {"postgres": [str(row[0]) for row in tables], "redis": keys, "chromadb": ours}


@pytest.mark.stack
def test_a_table_that_stays_would_be_seen(light: Light, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rollback that commits, the check fails and names the table."""
    monkeypatch.setattr(psycopg.Connection, "rollback", psycopg.Connection.commit)
    found = light.prove("postgres")
    (table,) = leftovers(light)["postgres"]
    monkeypatch.undo()
    script = f"psql -q -h 127.0.0.1 -U sutazai -d sutazai -c 'DROP TABLE {table}'"
    docker("exec", "-e", f"PGPASSWORD={light.values['POSTGRES_PASSWORD']}", light.container("postgres"),
           "sh", "-c", script)  # fmt: skip
    assert (found[0].mark, found[0].detail) == (Mark.FAILED, f"table {table} is still there after the rollback")


@pytest.mark.stack
def test_a_key_that_stays_would_be_seen(light: Light, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a DEL that does nothing, the check fails and names the key."""
    monkeypatch.setattr("redis.Redis.delete", lambda *_: 0)
    found = light.prove("redis")
    monkeypatch.undo()
    (key,) = leftovers(light)["redis"]
    docker("exec", light.container("redis"), "redis-cli", "del", key)
    assert (found[0].mark, found[0].detail) == (Mark.FAILED, f"key {key} is still there after DEL")


@pytest.mark.stack
def test_a_collection_that_stays_would_be_seen(light: Light, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a removal that does nothing, the check fails; a later one sweeps what a killed one has left."""
    monkeypatch.setattr(
        chroma, "call", lambda method, *rest, **more: None if method == "DELETE" else call(method, *rest, **more)
    )
    found = light.prove("chromadb")
    monkeypatch.undo()
    (name,) = leftovers(light)["chromadb"]
    assert (found[0].mark, found[0].detail) == (
        Mark.FAILED,
        f"collection {name} is still there after its removal",
    )
    monkeypatch.setattr(chroma, "STALE", -1.0)
    assert light.prove("chromadb")[0].mark is Mark.PASSED
    assert leftovers(light)["chromadb"] == []


@pytest.mark.stack
def test_a_stopped_redis_is_named_by_us_and_by_the_backend_and_told_once(light: Light, hook: Hook) -> None:
    """One alert for the failure, none for its repetition, one for the recovery."""
    home = light.home("redis-stopped")
    assert light.verify(home, Level.READY, hook).passed
    docker("stop", "--time", "2", light.container("redis"))
    try:
        failed = light.verify(home, Level.WORKING, hook)
        again = light.verify(home, Level.READY, hook)
    finally:
        docker("start", light.container("redis"))
    assert failed.report.verdict is again.report.verdict is Verdict.FAILED
    reasons = {one.service: "; ".join(one.reasons) for one in failed.report.failed}
    assert reasons["redis"] == "its container exited with code 0"
    assert "reports redis as down" in reasons["backend-agi"]
    assert "and so do we see it" in reasons["backend-agi"]
    assert "postgres" not in reasons
    recovered = light.await_verdict(home, True, hook)
    assert recovered.change is not None
    assert light.verify(home, Level.READY, hook).change is None
    assert [alert["verdict"] for alert in hook.taken] == ["failed", "passed"]
    assert "redis: its container exited with code 0" in hook.taken[0]["text"]


@pytest.mark.stack
def test_a_setting_that_is_not_what_the_file_says_is_a_failure_with_both_values(light: Light) -> None:
    """maxmemory changed behind the file's back."""
    name = light.container("redis")
    docker("exec", name, "redis-cli", "config", "set", "maxmemory", "64mb")
    try:
        verified = light.verify(light.home("settings"))
    finally:
        docker("exec", name, "redis-cli", "config", "set", "maxmemory", "128mb")
    assert verified.report.reasons == ("redis: maxmemory is 67108864, the file says 128mb",)


@pytest.mark.stack
def test_a_service_that_hangs_is_a_failure_and_the_rest_is_judged(light: Light) -> None:
    """A paused container answers nothing; everything that does not need it passes."""
    docker("pause", light.container("chromadb"))
    try:
        verified = light.verify(light.home("paused"), Level.READY)
    finally:
        docker("unpause", light.container("chromadb"))
    reasons = {one.service: one.reasons for one in verified.report.failed}
    assert reasons["chromadb"] == ("its container is paused",)
    assert {one.service for one in verified.report.marked(Mark.PASSED)} >= {"postgres", "redis", "ollama"}


PLAIN = """
services:
  web:
    image: ops-test/busybox:1
    init: true
    command: ["sh", "-c", "echo hello > /tmp/index.html; httpd -f -p 8080 -h /tmp"]
    healthcheck: {test: ["CMD", "wget", "-q", "-O", "/dev/null", "http://localhost:8080/index.html"]}
    x-ops: {verify: {kind: http, paths: [/index.html], contains: hello}}
  quiet:
    image: ops-test/busybox:1
    init: true
    command: ["sleep", "3600"]
    restart: always
  job:
    image: ops-test/busybox:1
    command: ["true"]
    x-ops: {oneshot: once}
"""


@dataclass
class Plain:
    """A project that is not ours, with a service of each kind."""

    request: VerifyRequest
    home: Home
    project: str
    compose: Callable[..., None]

    @property
    def store(self) -> VerdictStore:
        """Its memory."""
        return VerdictStore(self.home.stack(self.project))

    def verify(self, hook: Hook | None = None, level: Level = Level.WORKING) -> Verified:
        """Verify it."""
        webhook = AlertWebhook(SecretStr(hook.url)) if hook else None
        return verify_stack(self.request.model_copy(update={"level": level}), home=self.home, webhook=webhook)


@pytest.fixture
def plain(lab: Lab) -> Plain:
    """The project, running."""
    project = lab.scratch("verify-plain", PLAIN)
    file = project.path("compose.yml")

    def compose(*words: str) -> None:
        _run("docker", "compose", "--file", file, "--project-name", project.name, *words)

    compose("up", "--detach")
    home = Home(lab.ops_home)
    made = Plain(VerifyRequest(files=[file], project_name=project.name), home, project.name, compose)
    assert poll(lambda: made.verify().passed, 120.0), made.verify().report.reasons
    return made


@pytest.mark.engine
def test_what_nobody_can_check_is_counted_as_not_proven(plain: Plain) -> None:
    """It is neither hidden nor passed, and does not fail the rest."""
    report = plain.verify().report
    assert {one.service: one.mark for one in report.services} == {
        "web": Mark.PASSED,
        "quiet": Mark.NOT_PROVEN,
        "job": Mark.PASSED,
    }
    assert report.sentence == "passed at level working: 2 passed, 1 not proven"
    assert plain.verify(level=Level.ALIVE).report.sentence == "passed at level alive: 3 passed"


@pytest.mark.engine
def test_a_service_that_died_fails_with_its_exit_code(plain: Plain) -> None:
    """Its cause is named."""
    docker("kill", f"{plain.project}-web-1")
    assert plain.verify().report.reasons == ("web: it was killed (exit code 137)",)


@pytest.mark.engine
def test_a_failed_job_fails(plain: Plain) -> None:
    """A one-shot is judged by its exit code."""
    file = Path(plain.request.files[0])
    file.write_text(file.read_text().replace('["true"]', '["sh", "-c", "exit 3"]'))
    plain.compose("up", "--detach")
    assert poll(lambda: not plain.verify().passed, 10.0)
    assert plain.verify().report.reasons == ("job: it exited with code 3",)


@pytest.mark.engine
def test_while_somebody_works_on_the_stack_it_is_maintenance(plain: Plain, hook: Hook) -> None:
    """Nothing is judged and nobody is told; the verdict that stood still stands."""
    before = plain.store.standing()
    docker("stop", "--time", "1", f"{plain.project}-web-1")
    with stack_lock(Engine.connect().id, plain.project, "deploy"):
        during = plain.verify(hook)
    assert during.report.verdict is Verdict.MAINTENANCE
    assert "deploy" in during.report.note
    assert not during.passed
    assert (hook.taken, plain.store.standing()) == ([], before)
    assert plain.verify(hook).report.verdict is Verdict.FAILED
    assert len(hook.taken) == 1


@pytest.mark.engine
def test_after_down_it_is_maintenance_until_something_runs_again(plain: Plain, hook: Hook) -> None:
    """Taken down on purpose is no failure; whoever starts it again is judged again."""
    plain.compose("stop", "--timeout", "1")
    plain.store.mark_down("./ops down")
    down = plain.verify(hook)
    assert down.report.verdict is Verdict.MAINTENANCE
    assert down.report.note.startswith("taken down by ./ops down at ")
    assert hook.taken == []
    plain.compose("up", "--detach")
    assert poll(lambda: plain.verify(hook).passed, 120.0)
    assert plain.store.down() is None


@pytest.mark.engine
def test_an_alert_that_nobody_took_is_sent_at_the_next_verification(plain: Plain, hook: Hook) -> None:
    """And then once."""
    docker("kill", f"{plain.project}-web-1")
    hook.refuse = True
    plain.verify(hook)
    hook.refuse = False
    assert hook.taken == []
    plain.verify(hook)
    plain.verify(hook)
    assert [alert["verdict"] for alert in hook.taken] == ["failed"]


@pytest.mark.engine
def test_an_engine_that_is_away_fails_every_service(plain: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    """The verification itself goes on, and says so."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    report = plain.verify().report
    assert {one.service for one in report.failed} == {"web", "quiet", "job"}
    assert "no Docker engine answers" in report.reasons[0]


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    """A Prefect server of its own, in memory."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


def ask_prefect(what: str, body: dict[str, Any]) -> Any:
    """What the server answers to a filter."""
    from prefect.settings import PREFECT_API_URL

    return httpx.post(f"{PREFECT_API_URL.value()}/{what}/filter", json=body, timeout=30).raise_for_status().json()


@pytest.mark.engine
def test_the_flow_shows_levels_failures_table_and_one_event_per_change(plain: Plain, prefect: None) -> None:
    """One task run per level, one per failed service, a Failed run with reasons, a table with a stable key."""
    from flows.verify import verify_recorded

    request = plain.request.model_copy(update={"level": Level.WORKING})
    docker("stop", "--time", "1", f"{plain.project}-web-1")
    assert not verify_recorded(request, plain.home).passed
    assert not verify_recorded(request, plain.home).passed
    docker("start", f"{plain.project}-web-1")
    assert poll(lambda: verify_recorded(request, plain.home).passed, 60.0)

    runs = ask_prefect("flow_runs", {"sort": "START_TIME_ASC"})
    assert [runs[0]["state_type"], runs[-1]["state_type"]] == ["FAILED", "COMPLETED"]
    assert runs[0]["name"] == f"verify working {plain.project}"
    assert "- web: it was asked to stop (exit code 143)" in runs[0]["state"]["message"]
    steps = {*(f"ask every service: {level}" for level in Level), "look again at what failed", "web failed"}
    first = {"task_runs": {"flow_run_id": {"any_": [runs[0]["id"]]}}}
    assert poll(lambda: {one["name"] for one in ask_prefect("task_runs", first)} == steps, 120.0)
    table = {"artifacts": {"key": {"any_": [f"verify-{plain.project}"]}}}
    assert len(ask_prefect("artifacts", table)) == len(runs)
    changes = {"filter": {"event": {"prefix": ["ops.stack."]}}}

    def events() -> list[str]:
        return sorted(one["event"] for one in ask_prefect("events", changes)["events"])

    assert poll(lambda: len(events()) >= 2, 120.0)
    assert events() == ["ops.stack.failed", "ops.stack.recovered"]

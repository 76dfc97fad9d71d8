"""Waiting for services and asking them, with a fake engine and real HTTP: whose word counts, what is stopped."""

from __future__ import annotations

import math
import socket
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

import tasks.ready
from blocks.compose_cli import ComposeCli
from blocks.credentials import Login, postgres_login
from blocks.engine import Engine
from blocks.home import Home
from blocks.integration import chroma
from blocks.probing import ask, declared_argv
from blocks.reaching import Place, reach
from blocks.stores.containers import Asked
from blocks.stores.http_store import base_of
from blocks.working import Scene, prove
from compose.stack.catalogue import Catalogue
from compose.stack.commands import Project
from compose.stack.errors import Failed
from compose.stack.hints import ChromaNeeds
from compose.stack.observed import Container, Observed, parse_container
from compose.stack.plan import Evidence, Plan, decide
from compose.stack.probes import Answer, ExecProbe, HttpProbe, PostgresProbe, Readiness, RedisProbe, TcpProbe
from compose.stack.redact import Redactor
from compose.stack.report import ServiceReport
from compose.stack.round_trips import HttpTrip
from compose.stack.service import Stack, parse_stack
from compose.stack.status import status_of
from compose.stack.verdicts import Finding, Level, Mark
from flows import nodes
from flows.carry_out import carry_out
from flows.walker import ThreadRunner
from tasks.asking import Asking
from tasks.checks import Checks
from tasks.ready import Proof, await_ready, ready_now
from tasks.stacks import ResolvedStack
from tasks.work import Work

STARTED = "2026-01-01T00:00:00Z"
Ran = list[tuple[str, ...]]


class FakeEngine:
    """Containers as values; whoever is started runs at once.

    Args:
        inside: What a command in a container brings back.
    """

    def __init__(self, *containers: Container, inside: tuple[int, str] = (0, "")) -> None:
        self.there = {container.id: container for container in containers}
        self.inside = inside
        self.ran: Ran = []
        self.stopped: list[str] = []
        self.client = SimpleNamespace(api=SimpleNamespace(events=lambda **_: iter(())))

    def observe(self, _: str) -> Observed:
        return Observed(tuple(self.there.values()))

    glance = observe

    def observe_service(self, project: str, service: str) -> tuple[Container, ...]:
        return self.observe(project).of(service)

    def inspect(self, identity: str) -> Container | None:
        return self.there.get(identity)

    def logs(self, *_: object) -> str:
        return ""

    def start(self, identity: str) -> None:
        self.there[identity] = replace(self.there[identity], state="running", started_at=STARTED)

    def stop(self, identity: str, _: int | None = None) -> None:
        self.stopped.append(identity)

    def run_in(self, _: str, argv: tuple[str, ...], __: float) -> tuple[int, str]:
        self.ran.append(argv)
        return self.inside


def stack_of(**services: dict[str, Any]) -> Stack:
    return parse_stack({"name": "p", "services": services})


def container(service: str = "app", **facts: Any) -> Container:
    base = {"state": "running", "started_at": STARTED, "image_id": "i", "addresses": {"n": "127.0.0.1"}}
    return Container(f"id-{service}", f"p-{service}-1", service, **{**base, **facts})


def work_on(path: Path, stack: Stack, engine: FakeEngine) -> Work:
    found = ResolvedStack("p", Project((str(path / "x.yml"),)), path, None, {})
    door = cast("Engine", engine)
    work = Work(Home(path), found, stack, door, cast("ComposeCli", None), Redactor())
    work.seen = engine.observe("p")
    return work


def planned(stack: Stack, engine: FakeEngine) -> Plan:
    names = stack.services
    evidence = Evidence(images=dict.fromkeys(names, "i"), dry_run=dict.fromkeys(names, "unchanged"))
    return decide(stack, engine.observe("p"), evidence)


def deployed(path: Path, stack: Stack, engine: FakeEngine) -> dict[str, ServiceReport]:
    return carry_out(work_on(path, stack, engine), planned(stack, engine), ThreadRunner(), {})


def verified(stack: Stack, engine: FakeEngine, level: Level) -> list[Finding]:
    checks = Checks(stack, engine.observe("p"), cast("Engine", engine), Catalogue())
    for each in level.included:
        found = checks.run(each, stack.services)
    return found


class Web:
    """A server that answers only who asks for it by the right name; `answers` says what."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.names: list[str] = []
        self.allowed, self.status = "localhost", 200
        self.redirect = ""
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.headers["Host"]
                web.names.append(name)
                moved = self.path == "/" and web.redirect
                ok = name.partition(":")[0] == web.allowed
                self.send_response((302 if moved else web.status) if ok else 400)
                if moved:
                    self.send_header("Location", web.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer((address, port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    """The server, on a port of its own."""
    made = Web()
    yield made
    made.close()


def checked(port: int, **more: Any) -> dict[str, Any]:
    """A service with a health check that fetches its own page."""
    check = {"test": ["CMD-SHELL", f"curl -f http://localhost:{port}/health || exit 1"], **more}
    return {"image": "x", "restart": "unless-stopped", "healthcheck": check, "x-ops": {"ready_within": 0.3}}


def test_the_equivalent_asks_for_the_name_that_the_health_check_asks_for(web: Web) -> None:
    """An application that answers only its own names hears the name of the declared URL."""
    probe = HttpProbe(web.port, "/health", host=f"localhost:{web.port}")
    assert ask(probe, container(), FakeEngine().run_in).ok
    assert web.names == [f"localhost:{web.port}"]
    assert not ask(replace(probe, host=""), container(), FakeEngine().run_in).ok


def test_a_redirection_to_its_own_name_stays_in_the_container(web: Web) -> None:
    """`localhost` in a redirection is the container, not this machine."""
    inside = Web("127.0.0.2", web.port)
    inside.redirect = f"http://localhost:{web.port}/there"
    probe = HttpProbe(web.port, "/", follow=True, host=f"localhost:{web.port}")
    try:
        assert ask(probe, container(addresses={"n": "127.0.0.2"}), FakeEngine().run_in).ok
    finally:
        inside.close()
    assert (inside.names, web.names) == ([f"localhost:{web.port}"] * 2, [])


def test_an_answer_may_take_as_long_as_the_health_check_allows() -> None:
    check = {"test": ["CMD", "curl", "-f", "http://localhost/"], "timeout": "40s"}
    stack = stack_of(
        app={"image": "x", "healthcheck": check}, told={"image": "x", "x-ops": {"probe": {"tcp": {"port": 1}}}}
    )
    steps = {step.service: step.readiness.limit for step in planned(stack, FakeEngine()).steps}
    assert steps == {"app": 40.0, "told": 5.0}


def test_a_health_check_runs_in_the_shell_that_the_image_names() -> None:
    config = {"Shell": ["/bin/bash", "-ec"], "Healthcheck": {"Test": ["CMD-SHELL", "[[ -e /x ]]"]}}
    assert declared_argv(parse_container({"Id": "c", "Config": config})) == ("/bin/bash", "-ec", "[[ -e /x ]]")
    plain = {"Healthcheck": {"Test": ["CMD-SHELL", "true"]}}
    assert declared_argv(parse_container({"Id": "c", "Config": plain})) == ("/bin/sh", "-c", "true")


def test_the_declared_check_has_the_last_word_where_its_equivalent_hears_a_no(web: Web, tmp_path: Path) -> None:
    """An application that lets only itself in is ready when its own check says so; verification agrees."""
    web.allowed = "nobody"
    stack = stack_of(app=checked(web.port))
    engine = FakeEngine(container(healthcheck=("CMD-SHELL", "check")))
    work = work_on(tmp_path, stack, engine)
    assert ready_now(work, planned(stack, engine).step("app")).ok
    assert [found.mark for found in verified(stack, engine, Level.ALIVE)] == [Mark.PASSED]
    assert [found.mark for found in verified(stack, engine, Level.READY)] == [Mark.PASSED]
    assert set(engine.ran) == {("/bin/sh", "-c", "check")}


def test_a_service_that_the_engine_calls_healthy_is_ready(web: Web, tmp_path: Path) -> None:
    """Its verdict counts as well as its news, while the equivalent hears a no."""
    web.allowed = "nobody"
    engine = FakeEngine(container(health="healthy", healthcheck=("CMD-SHELL", "check")), inside=(1, "busy"))
    assert deployed(tmp_path, stack_of(app=checked(web.port)), engine)["app"].state == "ready"


def test_an_unchanged_service_that_does_not_pass_fails_and_goes_on_running(web: Web, tmp_path: Path) -> None:
    """A deployment that does nothing to a service never stops it: degraded is not down."""
    web.status = 503
    engine = FakeEngine(container(health="unhealthy", healthcheck=("CMD-SHELL", "check")), inside=(1, "no"))
    found = deployed(tmp_path, stack_of(app=checked(web.port)), engine)["app"]
    assert (found.state, engine.stopped) == ("failed", [])
    assert "answered 503" in found.reason


def test_a_service_that_was_started_and_does_not_pass_is_stopped(web: Web, tmp_path: Path) -> None:
    """What the deployment itself started stays stopped for inspection."""
    web.status = 503
    made = container(state="created", started_at="", healthcheck=("CMD-SHELL", "check"))
    engine = FakeEngine(made, inside=(1, "no"))
    assert deployed(tmp_path, stack_of(app=checked(web.port)), engine)["app"].state == "failed"
    assert engine.stopped == ["id-app"]


NO, AWAY, REFUSED = Answer(False, ""), Answer(False, "", reached=False), Answer(False, "", False, refused=True)


@pytest.mark.parametrize(
    ("probe", "equivalent", "answer", "waited", "counts"),
    [
        (HttpProbe(1), True, NO, 0, True),
        (HttpProbe(1), True, REFUSED, 0, True),
        (HttpProbe(1), False, NO, 99, False),
        (HttpProbe(1), False, REFUSED, 99, False),
        (HttpProbe(1), False, AWAY, 0, True),
        (PostgresProbe(), True, REFUSED, 29, False),
        (PostgresProbe(), True, REFUSED, 31, True),
        (PostgresProbe(), True, AWAY, 0, True),
    ],
)
def test_whose_word_counts(probe: Any, equivalent: bool, answer: Answer, waited: float, counts: bool) -> None:
    """The declared check overrules its equivalent's no, and any probe that nothing answers; nothing else."""
    readiness = Readiness(probe, "", ExecProbe(), equivalent=equivalent)
    assert readiness.inside_counts(answer, waited) is counts
    assert not replace(readiness, fallback=None).inside_counts(answer, waited)


def test_a_database_that_answers_is_rarely_asked_inside() -> None:
    """`redis-cli ping` passes while Redis still loads its data: its own answer tells more."""
    pauses = [Readiness(RedisProbe(), "", ExecProbe()).pause_inside(answer) for answer in (NO, AWAY)]
    assert pauses == [30.0, 2.0]


def job(restart: str) -> Stack:
    """A job that nobody waits for, beside a service that takes longer."""
    check = {"test": ["CMD", "check"]}
    return stack_of(seed={"image": "mc", "restart": restart}, slow={"image": "web", "healthcheck": check})


class Ending(FakeEngine):
    """The job ends with 0 once it was seen to run; only then the other service is ready."""

    def run_in(self, _: str, argv: tuple[str, ...], __: float) -> tuple[int, str]:
        return (0 if self.there["id-seed"].state == "exited" else 1), ""

    def end(self) -> None:
        self.there["id-seed"] = replace(self.there["id-seed"], state="exited")


@pytest.mark.parametrize("restart", ["no", "on-failure"])
@pytest.mark.parametrize("soon", [True, False])
def test_a_job_that_ended_well_is_done_everywhere(
    restart: str, soon: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it ends before or after it was seen to run: deployed, done, verified, and not started again."""
    new = {"state": "created", "started_at": ""}
    engine = Ending(container("seed", **new), container("slow", **new, healthcheck=("CMD", "check")))
    begin, stack = engine.start, job(restart)

    def start(identity: str) -> None:
        begin(identity)
        if soon and identity == "id-seed":
            engine.end()

    def waited(*given: Any) -> Proof:
        proof = await_ready(*given)
        if given[1].service == "seed" and not soon:
            engine.end()
        return proof

    monkeypatch.setattr(engine, "start", start)
    monkeypatch.setattr(nodes, "await_ready", waited)
    monkeypatch.setattr(tasks.ready, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(tasks.ready, "SETTLED", 0.1 if not soon else 5.0)
    reports = deployed(tmp_path, stack, engine)
    assert {name: report.state for name, report in reports.items()} == {"seed": "completed", "slow": "ready"}
    assert planned(stack, engine).nothing_to_do
    assert [row.state for row in status_of(stack, engine.observe("p"))] == ["done", "running"]
    marks = {found.service: found.mark for found in verified(stack, engine, Level.READY)}
    assert marks == {"seed": Mark.PASSED, "slow": Mark.PASSED}


class RedisServer:
    """Speaks enough of Redis to ask for a password."""

    def __init__(self, password: str) -> None:
        self.tried: list[str] = []
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                allowed = not password
                while line := self.rfile.readline():
                    words = [self.rfile.readline() and self.rfile.readline().strip() for _ in range(int(line[1:]))]
                    if words[0].upper() == b"AUTH":
                        server.tried.append(words[-1].decode())
                        allowed = words[-1].decode() == password
                        said = b"+OK\r\n" if allowed else b"-WRONGPASS invalid username-password pair\r\n"
                    else:
                        said = b"+PONG\r\n" if allowed else b"-NOAUTH Authentication required.\r\n"
                    self.wfile.write(said)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


ASKING = ("redis-server", "--requirepass")
LINE = ("sh", "-c", "exec redis-server --requirepass $PW")


@pytest.mark.parametrize(
    ("command", "environment", "mark"),
    [
        ((*ASKING, "pw123456"), {}, Mark.PASSED),
        (LINE, {"PW": "pw123456"}, Mark.PASSED),
        ((), {"REDIS_PASSWORD_FILE": "/run/secrets/redis"}, Mark.PASSED),
        (("redis-server", "/etc/redis.conf"), {}, Mark.PASSED),
        ((*ASKING, "old"), {"REDIS_PASSWORD": "pw123456"}, Mark.PASSED),
        ((), {}, Mark.NOT_PROVEN),
        ((), {"REDIS_PASSWORD": "wrong"}, Mark.FAILED),
    ],
)
def test_a_redis_is_asked_with_the_password_that_its_container_knows(
    command: tuple[str, ...], environment: dict[str, str], mark: Mark
) -> None:
    """Wherever it is told; one that nobody tells us proves nothing, one that is refused is a failure."""
    server = RedisServer("pw123456")
    said = "requirepass pw123456" if "/etc/redis.conf" in command else "pw123456\n"
    engine = FakeEngine(container("redis", command=command, environment=environment), inside=(0, said))
    stack = stack_of(redis={"image": "redis:7", "command": ["redis-server", "--port", str(server.port)]})
    try:
        assert [found.mark for found in verified(stack, engine, Level.READY)] == [mark]
    finally:
        server.close()


def test_a_password_that_is_refused_is_tried_once() -> None:
    """Not again and again for seconds, while a service is waited for."""
    server = RedisServer("pw123456")
    try:
        asked = container(environment={"REDIS_PASSWORD": "wrong"})
        assert not ask(RedisProbe(server.port, strict=True), asked, FakeEngine().run_in).ok
    finally:
        server.close()
    assert server.tried == ["wrong"]


FILES = {"POSTGRES_USER_FILE": "/x", "POSTGRES_PASSWORD_FILE": "/x", "POSTGRES_DB": "d"}
BITNAMI = {"POSTGRESQL_USERNAME": "u", "POSTGRESQL_PASSWORD": "p", "POSTGRESQL_DATABASE": "d"}


@pytest.mark.parametrize(
    ("environment", "login"),
    [
        ({}, Login("postgres", None, "postgres")),
        ({"POSTGRES_USER": "u", "POSTGRES_PASSWORD": "p"}, Login("u", "p", "u")),
        (FILES, Login("said", "said", "d")),
        (BITNAMI, Login("u", "p", "d")),
    ],
)
def test_how_a_postgres_is_got_into(environment: dict[str, str], login: Login) -> None:
    """By the official image's names, by files of secrets, by Bitnami's names."""
    assert postgres_login(container(environment=environment), lambda _: "said\n") == login


@pytest.mark.parametrize(("environment", "unproven"), [({}, True), ({"POSTGRES_PASSWORD": "x"}, False)])
def test_a_password_that_nobody_tells_us_is_no_failure(
    environment: dict[str, str], unproven: bool, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise psycopg.OperationalError("fe_sendauth: no password supplied")

    monkeypatch.setattr(psycopg, "connect", refuse)
    probe = PostgresProbe(web.port, strict=True)
    answer = ask(probe, container(environment=environment), FakeEngine().run_in)
    assert (answer.ok, answer.unproven) == (False, unproven)
    assert ask(replace(probe, strict=False), container(environment=environment), FakeEngine().run_in).ok


ALONE: dict[str, Any] = {"addresses": {"host": ""}}


@pytest.mark.parametrize(
    ("body", "facts", "mark"),
    [
        ({"image": "redis:7", "network_mode": "service:app"}, ALONE, Mark.NOT_PROVEN),
        ({"image": "postgres:16", "network_mode": "host"}, ALONE, Mark.NOT_PROVEN),
        (
            {"image": "postgres:16", "network_mode": "host", "healthcheck": {"test": ["CMD-SHELL", "pg_isready"]}},
            {**ALONE, "healthcheck": ("CMD-SHELL", "pg_isready")},
            Mark.PASSED,
        ),
    ],
)
def test_without_an_address_the_declared_check_tells_or_nobody(
    body: dict[str, Any], facts: dict[str, Any], mark: Mark
) -> None:
    """A database in another's network, or the host's, is never failed for that."""
    stack, engine = stack_of(app={"image": "x"}, db=body), FakeEngine(container("app"), container("db", **facts))
    assert {f.mark for f in verified(stack, engine, Level.READY) if f.service == "db"} == {mark}


def test_every_address_is_tried_ipv6_too(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that answers is asked; a service that has only IPv6 addresses is asked there."""
    networks = {
        "a": {"GlobalIPv6Address": "fd00::2"},
        "b": {"IPAddress": "127.0.0.1", "GlobalIPv6Address": "fd01::2"},
    }
    read = parse_container({"Id": "c", "NetworkSettings": {"Networks": networks}})
    assert read.every_address == ("fd00::2", "127.0.0.1", "fd01::2")
    assert str(Place("fd00::2", 80)) == "[fd00::2]:80"
    tried: list[str] = []

    def connect(address: tuple[str, int], *rest: Any, **more: Any) -> socket.socket:
        tried.append(address[0])
        if address[0] == "fd00::2":
            raise OSError(113, "No route to host")
        return real(address, *rest, **more)

    real = socket.create_connection
    monkeypatch.setattr("blocks.reaching.socket.create_connection", connect)
    monkeypatch.setattr("blocks.reaching.has_way", lambda _: True)
    assert ask(HttpProbe(web.port), read, FakeEngine().run_in).detail.endswith("answered 400")
    assert list(dict.fromkeys(tried)) == ["fd00::2", "127.0.0.1"]


@pytest.fixture
def no_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The containers' network cannot be reached from this machine, as with an engine that runs without root."""
    real = socket.create_connection

    def connect(address: tuple[str, int], *rest: Any, **more: Any) -> socket.socket:
        if address[0].startswith("172."):
            raise TimeoutError("timed out")
        return real(address, *rest, **more)

    monkeypatch.setattr("blocks.reaching.socket.create_connection", connect)
    monkeypatch.setattr("blocks.reaching.has_way", lambda _: True)


AWAY_FROM_HERE = {"n": "172.31.0.2"}


def probed(port: int, **more: Any) -> dict[str, Any]:
    hints = {"probe": {"http": {"port": port, "path": "/health"}}, "ready_within": 0.3}
    return {"image": "x", "restart": "unless-stopped", "x-ops": hints, **more}


def test_the_declared_check_stands_in_for_a_probe_that_cannot_be_asked_from_here(
    no_way: None, tmp_path: Path
) -> None:
    """An engine that keeps its network to itself: the health check is run inside; deployed, and verified."""
    stack = stack_of(app=probed(80, healthcheck={"test": ["CMD", "check"]}))
    engine = FakeEngine(container(addresses=AWAY_FROM_HERE, healthcheck=("CMD", "check")))
    assert ready_now(work_on(tmp_path, stack, engine), planned(stack, engine).step("app")).ok
    assert [found.mark for found in verified(stack, engine, Level.READY)] == [Mark.PASSED]
    engine.inside = (1, "no")
    assert [found.mark for found in verified(stack, engine, Level.ALIVE)] == [Mark.FAILED]
    asking = Asking(planned(stack, engine).step("app").readiness, engine.run_in)
    asking.ran_inside = -math.inf
    answers = [asking.ask(*engine.there.values()) for _ in range(2)]
    assert [(answer.ok, answer.silent) for answer in answers] == [(False, False)] * 2


def test_a_port_that_takes_no_connection_any_more_is_no_matter_of_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that hangs with a full queue: its host still refuses other ports, so it has failed."""

    def connect(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        raise ConnectionRefusedError(111, "refused") if address[1] == 9 else TimeoutError("timed out")

    monkeypatch.setattr("blocks.reaching.socket.create_connection", connect)
    monkeypatch.setattr("blocks.reaching.has_way", lambda _: True)
    answer = ask(HttpProbe(80), container(), FakeEngine().run_in)
    assert (answer.ok, answer.reached, answer.silent) == (False, True, False)


def test_a_probe_that_hears_a_no_is_not_overruled_by_another_check(web: Web, tmp_path: Path) -> None:
    """`x-ops.probe` is the author's word: the health check stands in only where it cannot be asked."""
    web.status, web.allowed = 503, "127.0.0.1"
    stack = stack_of(app=probed(web.port, healthcheck={"test": ["CMD", "check"]}))
    engine = FakeEngine(container(health="healthy", healthcheck=("CMD", "check")))
    assert deployed(tmp_path, stack, engine)["app"].state == "failed"


def test_a_service_that_nobody_can_ask_from_here_is_not_proven_and_not_stopped(
    no_way: None, tmp_path: Path
) -> None:
    """Without a health check there is no way to tell: it runs, and the report says that nothing is proven."""
    stack = stack_of(app=probed(80))
    engine = FakeEngine(container(addresses=AWAY_FROM_HERE, state="created", started_at=""))
    found = deployed(tmp_path, stack, engine)["app"]
    assert (found.state, engine.stopped) == ("running", [])
    assert found.proof.startswith("not proven: HTTP GET :80/health: timed out")
    work = work_on(tmp_path, stack, engine)
    assert ready_now(work, planned(stack, engine).step("app")).detail.startswith("not proven: HTTP GET")
    assert [finding.mark for finding in verified(stack, engine, Level.ALIVE)] == [Mark.NOT_PROVEN]


def test_round_trips_go_through_the_published_port_where_the_network_is_away(no_way: None, web: Web) -> None:
    """Only there, and never past an address that answers or refuses."""
    web.allowed = "127.0.0.1"
    asked = container(addresses=AWAY_FROM_HERE, published={80: ("127.0.0.1", web.port)})
    place = reach(asked, 80, published=True)
    assert place is not None
    assert (str(place), place.error) == (f"127.0.0.1:{web.port}", None)
    here = reach(replace(asked, addresses={"n": "127.0.0.2"}), 80, published=True)
    assert here is not None
    assert (here.host, here.refused) == ("127.0.0.2", True)
    scene = Scene(stack_of(app={"image": "x"}), Observed(), Catalogue(), FakeEngine().run_in)
    assert [found.mark for found in prove(HttpTrip(port=80), asked, scene)] == [Mark.PASSED]
    (found,) = prove(HttpTrip(port=80), replace(asked, published={}), scene)
    assert (found.mark, found.detail) == (Mark.NOT_PROVEN, "port 80 is not reachable from here (timed out)")


def test_integration_says_what_to_do_where_no_way_leads_to_a_service(no_way: None) -> None:
    needs = ChromaNeeds(service="app", collections=("c",))
    with pytest.raises(Failed, match=r"app: port 8000 is not reachable from here.*publish the port"):
        chroma(needs, container(addresses=AWAY_FROM_HERE))


def test_where_ports_are_published() -> None:
    """TCP ports with their host and port; an engine elsewhere publishes nothing on this machine."""
    twice = [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8081"}]
    ports = {"80/tcp": twice, "81/tcp": [{"HostIp": "", "HostPort": ""}], "53/udp": None}
    raw = {"Id": "c", "NetworkSettings": {"Ports": ports}}
    api = SimpleNamespace(inspect_container=lambda _: raw, base_url="http+docker://localhost")
    engine = Engine(SimpleNamespace(api=api))
    assert [one.published for one in (engine.inspect("c"),) if one] == [{80: ("127.0.0.1", 8080)}]
    api.base_url = "http://elsewhere:2375"
    assert [one.published for one in (engine.inspect("c"),) if one] == [{}]


def test_a_container_in_anothers_network_is_reached_there() -> None:
    there = {
        "c": {"Id": "c", "HostConfig": {"NetworkMode": "container:h"}},
        "h": {"Id": "h", "NetworkSettings": {"Networks": {"n": {"IPAddress": "10.0.0.2"}}}},
    }
    api = SimpleNamespace(inspect_container=lambda identity: there[identity], base_url="http+docker://localhost")
    found = Engine(SimpleNamespace(api=api)).inspect("c")
    assert found is not None
    assert (found.id, found.address) == ("c", "10.0.0.2")


def test_a_guess_without_an_address_is_given_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be asked of it, so it is not waited for longer than a service of which nothing is known."""
    monkeypatch.setattr(tasks.ready, "SETTLED", 0.1)
    made = container("redis", addresses={}, state="created", started_at="")
    stack = stack_of(redis={"image": "redis:7", "network_mode": "none"})
    engine = FakeEngine(made)
    found = deployed(tmp_path, stack, engine)["redis"]
    assert (found.state, found.proof) == ("running", "not proven: it has no address of its own")


def test_a_store_that_speaks_http_is_found_where_it_is_reached(no_way: None, web: Web) -> None:
    """At its address, else where its port is published."""
    door = cast("Engine", FakeEngine())
    assert base_of(Asked(door, container()), web.port, "/x/") == f"http://127.0.0.1:{web.port}/x"
    published = container(addresses={"n": "172.31.0.2"}, published={80: ("127.0.0.1", web.port)})
    assert base_of(Asked(door, published), 80) == f"http://127.0.0.1:{web.port}"
    with pytest.raises(Failed, match="no address of its own"):
        base_of(Asked(door, container(addresses={})), web.port)


def test_what_only_the_default_route_leads_to_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy behind it that takes every connection is no container: nothing is ready for that."""

    def connect(*_: object, **__: object) -> socket.socket:
        raise AssertionError("it was asked")

    monkeypatch.setattr("blocks.reaching.socket.create_connection", connect)
    monkeypatch.setattr("blocks.reaching.has_way", lambda _: False)
    answer = ask(TcpProbe(80), container(), FakeEngine().run_in)
    assert (answer.ok, answer.reached) == (False, False)
    assert "no route" in answer.detail


def test_who_is_no_postgresql_is_not_ready(web: Web) -> None:
    """Whatever takes a connection and answers something else."""
    answer = ask(PostgresProbe(web.port), container(), FakeEngine().run_in)
    assert not answer.ok

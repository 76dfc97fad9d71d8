"""The stack model: services, graph, roles, phases, probes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.errors import Refused
from compose.stack.graph import closure, critical_path, dependents, graph_of, start_order, with_sharers
from compose.stack.inference import ended_well, equivalent, is_oneshot, port_served, readiness_of
from compose.stack.observed import Container
from compose.stack.phases import Phase, phase_of
from compose.stack.probes import ExecProbe, ExitProbe, HttpProbe, PostgresProbe, RedisProbe, RunningProbe, TcpProbe
from compose.stack.roles import Role, image_name, role_of
from compose.stack.service import Healthcheck, Stack, parse_service, parse_stack, seconds


def stack(**services: dict[str, object]) -> Stack:
    return parse_stack({"name": "p", "services": services})


@pytest.mark.parametrize(
    ("text", "expected"), [("1m30s", 90.0), ("500ms", 0.5), (30, 30.0), ("2h", 7200.0), ("0s", 0.0), ("1.5s", 1.5)]
)
def test_durations_become_seconds(text: object, expected: float) -> None:
    """Every way in which Compose writes a duration is read."""
    assert seconds(text) == expected


def test_edges_include_what_namespaces_links_and_volumes_imply() -> None:
    """A service waits for those whose namespace, links or volumes it uses, declared or not."""
    found = parse_service(
        "a", {"network_mode": "service:b", "links": ["c:x"], "volumes_from": ["d:ro", "container:e"]}, "p"
    )
    assert {edge.service for edge in found.depends} == {"b", "c", "d"}


def test_depends_on_keeps_conditions() -> None:
    """Condition, required and restart are read as written."""
    body = {"depends_on": {"b": {"condition": "service_healthy", "required": False, "restart": True}}}
    edge = parse_service("a", body, "p").depends[0]
    assert (edge.condition, edge.required, edge.restart) == ("service_healthy", False, True)


def test_limits_come_from_deploy_or_the_old_keys() -> None:
    """Both spellings of a limit are seen; an unset one is None."""
    new = parse_service("a", {"deploy": {"resources": {"limits": {"memory": "64M", "cpus": "0.5"}}}}, "p")
    old = parse_service("a", {"mem_limit": "64M", "cpus": 0.5}, "p")
    assert [new.limit("memory"), new.limit("cpus")] == [old.limit("memory"), old.limit("cpus")] == ["64M", "0.5"]
    assert parse_service("a", {}, "p").limit("memory") is None


def test_unknown_x_ops_keys_are_all_named() -> None:
    """A typing error in x-ops is an error with its place, not silence."""
    with pytest.raises(Refused, match=r"services.a.x-ops") as raised:
        parse_service("a", {"x-ops": {"fase": 3, "ready_within": -1}}, "p")
    assert "fase" in str(raised.value)
    assert "ready_within" in str(raised.value)


def test_a_cycle_is_named() -> None:
    """A cycle is refused with its services."""
    with pytest.raises(Refused, match="cycle: "):
        start_order({"a": frozenset("b"), "b": frozenset("a")})


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.frozensets(st.sampled_from("abcdefgh")), max_size=8))
def test_order_puts_dependencies_first_or_names_a_cycle(raw: dict[str, frozenset[str]]) -> None:
    """Whatever the graph: each service stands after those that it waits for, or the graph is refused."""
    graph = {name: frozenset(n for n in needs if n in raw) for name, needs in raw.items()}
    try:
        order = start_order(graph)
    except Refused:
        assert any(name in closure(graph, graph[name]) for name in graph)
        return
    assert all(order.index(need) < order.index(name) for name in graph for need in graph[name])


@given(st.dictionaries(st.integers(0, 9), st.frozensets(st.integers(0, 9)), max_size=10))
def test_dependents_and_closure_are_inverse(raw: dict[int, frozenset[int]]) -> None:
    """B is among A's dependents exactly when A is in the closure of what B waits for."""
    graph = {str(k): frozenset(str(n) for n in v if n in raw and n < k) for k, v in raw.items()}
    for a in graph:
        assert dependents(graph, [a]) == {b for b in graph if a in closure(graph, graph[b])}


def test_critical_path_follows_the_latest_dependency() -> None:
    """The path ends with the last to be ready and goes back over whom it waited for longest."""
    graph = {"a": frozenset(), "b": frozenset(), "c": frozenset({"a", "b"}), "d": frozenset()}
    assert critical_path(graph, {"a": 1.0, "b": 3.0, "c": 4.0, "d": 2.0}) == ("b", "c")
    assert critical_path(graph, {}) == ()


@pytest.mark.parametrize(
    ("image", "role"),
    [
        ("postgres:16", Role.POSTGRES),
        ("registry.example:5000/team/redis@sha256:00", Role.REDIS),
        ("chromadb/chroma:1.5.9", Role.CHROMADB),
        ("ghcr.io/berriai/litellm-database:main", Role.LITELLM),
        ("mine/thing", Role.OTHER),
    ],
)
def test_roles_follow_the_image(image: str, role: Role) -> None:
    """The image's last word tells what a service is."""
    assert role_of(parse_service("a", {"image": image}, "p")) is role


PG, WAIT = "postgres:16", "until pg_isready -h db; do sleep 1; done"


@pytest.mark.parametrize(
    ("image", "entrypoint", "command", "role"),
    [
        (PG, (), ["psql", "-h", "postgres", "-c", "SELECT 1"], Role.OTHER),
        (PG, ["sh", "-c"], [f"{WAIT}\nexec psql -f /x"], Role.OTHER),
        (PG, (), ["/bin/sh", "-c", "PGPASSWORD=x pg_dump -h db"], Role.OTHER),
        (PG, (), ["postgres", "-c", "shared_buffers=1MB"], Role.POSTGRES),
        (PG, (), ["-c", "fsync=off"], Role.POSTGRES),
        (PG, (), ["sh", "-c", "docker-entrypoint.sh postgres & pg_isready; psql; wait"], Role.POSTGRES),
        (
            PG,
            (),
            ["sh", "-c", "/opt/bitnami/scripts/postgresql/entrypoint.sh /run.sh & psql; wait"],
            Role.POSTGRES,
        ),
        ("redis:7", (), ["sh", "-c", "printf x | redis-server -"], Role.REDIS),
        ("redis:7", (), ["redis-cli", "-h", "redis", "ping"], Role.OTHER),
        ("ollama/ollama", ["sh", "-c", "sleep 5; ollama pull tiny"], (), Role.OTHER),
        ("ollama/ollama", ["sh", "-c", "ollama serve & ollama pull tiny; wait"], (), Role.OLLAMA),
    ],
)
def test_a_job_on_a_databases_image_is_no_database(image: str, entrypoint: Any, command: Any, role: Role) -> None:
    """Who only calls the image's clients is a job; a wrapper that starts the server is the server."""
    body = {"image": image, "entrypoint": entrypoint, "command": command}
    assert role_of(parse_service("a", body, "p")) is role
    assert role_of(parse_service("a", {**body, "x-ops": {"role": "redis"}}, "p")) is Role.REDIS


def test_who_holds_a_databases_data_is_the_database() -> None:
    """Whatever it calls: what we know of its data must not be lost by a guess."""
    data = [{"type": "volume", "source": "d", "target": "/var/lib/postgresql/data"}]
    body = {"image": PG, "command": ["sh", "-c", "start-it & psql; wait"]}
    assert role_of(parse_service("a", body, "p")) is Role.OTHER
    assert role_of(parse_service("a", {**body, "volumes": data}, "p")) is Role.POSTGRES


@pytest.mark.parametrize(
    ("body", "code", "well"),
    [
        ({"image": "mc"}, 0, True),
        ({"image": "mc", "restart": "no"}, 0, True),
        ({"image": "mc", "restart": "on-failure:3"}, 0, True),
        ({"image": "mc", "deploy": {"restart_policy": {"condition": "on-failure"}}}, 0, True),
        ({"image": "mc", "restart": "always", "deploy": {"restart_policy": {"condition": "none"}}}, 0, True),
        ({"image": "postgres:16", "command": ["psql", "-h", "db"]}, 0, True),
        ({"image": "mc"}, 1, False),
        ({"image": "mc", "restart": "unless-stopped"}, 0, False),
        ({"image": "mc", "deploy": {"restart_policy": {"condition": "any"}}}, 0, False),
        ({"image": "redis:7"}, 0, False),
        ({"image": "web", "ports": [{"target": 80}]}, 0, False),
        ({"image": "mc", "healthcheck": {"test": ["CMD", "true"]}}, 0, False),
        ({"image": "mc", "x-ops": {"probe": {"exec": ["true"]}}}, 0, False),
    ],
)
def test_what_ended_well(body: dict[str, Any], code: int, well: bool) -> None:
    """A job that exited 0; not what would be started again, serves a port, or declares how it is ready."""
    end = Container("c", "c", "a", state="exited", exit_code=code)
    assert ended_well(stack(a=body), "a", end) is well


def test_image_name_ignores_registry_port_and_tag() -> None:
    """A registry's port is no tag."""
    assert image_name("host:5000/a/b") == "b"


def test_phases_follow_hint_role_tier_and_name() -> None:
    """What is told wins over what is inferred."""
    told = parse_service("x", {"image": "redis", "x-ops": {"phase": 9}}, "p")
    assert phase_of(told, role_of(told)) is Phase.AI_AGENTS
    agent = parse_service("autogpt", {"image": "mine", "x-ops": {"tier": "agent"}}, "p")
    assert phase_of(agent, role_of(agent)) is Phase.AI_AGENTS
    assert Phase.CORE_INFRASTRUCTURE.tag == "phase-04-core-infrastructure"
    assert Phase.AI_MODELS.title == "AI Models"


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (["CMD", "curl", "-f", "http://localhost:8000/health"], HttpProbe(8000, "/health", host="localhost:8000")),
        (
            ["CMD-SHELL", "curl -fsS http://127.0.0.1:8000/h?x=1 || exit 1"],
            HttpProbe(8000, "/h?x=1", host="127.0.0.1:8000"),
        ),
        (
            ["CMD-SHELL", "curl -fL localhost/x > /dev/null 2>&1"],
            HttpProbe(80, "/x", follow=True, host="localhost"),
        ),
        (
            ["CMD", "wget", "-q", "-O", "-", "http://localhost:3000/"],
            HttpProbe(3000, "/", follow=True, host="localhost:3000"),
        ),
        (
            ["CMD", "wget", "--spider", "-q", "localhost:3000/a"],
            HttpProbe(3000, "/a", follow=True, host="localhost:3000"),
        ),
        (
            ["CMD", "/bin/busybox", "wget", "-qO-", "http://localhost:1/"],
            HttpProbe(1, "/", follow=True, host="localhost:1"),
        ),
        (["CMD-SHELL", "pg_isready -U $$POSTGRES_USER -d x"], PostgresProbe(5432)),
        (["CMD", "pg_isready", "-p", "5433"], PostgresProbe(5433)),
        (["CMD", "redis-cli", "ping"], RedisProbe(6379)),
        (["CMD-SHELL", "redis-cli -a $$REDIS_PASSWORD ping"], RedisProbe(6379)),
        (["CMD", "pg_isready", "--port=5433"], PostgresProbe(5433)),
        (["CMD-SHELL", "pg_isready -p5433"], PostgresProbe(5433)),
        (["CMD", "pg_isready", "--quiet", "--host=127.0.0.1"], PostgresProbe(5432)),
        (["CMD", "pg_isready", "-h", "/var/run/postgresql"], PostgresProbe(5432)),
        (["CMD", "pg_isready", "-h", "a"], PostgresProbe(5432)),
        (["CMD", "pg_isready", "-h", "db"], None),
        (["CMD", "pg_isready", "-hdb"], None),
        (["CMD", "pg_isready", "--host=db"], None),
        (["CMD", "redis-cli", "-h", "redis", "ping"], None),
        (["CMD", "redis-cli", "-h", "localhost", "-p", "6380", "ping"], RedisProbe(6380)),
        (["CMD", "redis-cli", "-u", "redis://redis", "ping"], None),
        (["CMD", "nc", "-z", "localhost", "9000"], TcpProbe(9000)),
        (["CMD", "curl", "http://localhost:8000/health"], None),
        (["CMD", "curl", "-f", "-X", "POST", "http://localhost/"], None),
        (["CMD", "curl", "-f", "https://localhost/"], None),
        (["CMD", "curl", "-f", "http://other/"], None),
        (["CMD-SHELL", "curl -f http://localhost/ | grep ok"], None),
        (["CMD-SHELL", "curl -f http://localhost/ && test -e /x"], None),
        (["CMD-SHELL", "exit 0"], None),
        (["CMD", "python", "-c", "pass"], None),
    ],
)
def test_only_plain_checks_have_a_network_equivalent(test: list[str], expected: object) -> None:
    """A check is replaced where a probe asks exactly the same; anything more is run as declared."""
    service = parse_service("a", {}, "p")
    assert equivalent(Healthcheck(tuple(test)), service) == expected


@given(st.text(max_size=60))
def test_any_shell_line_is_judged_without_an_error(line: str) -> None:
    """Wild health checks are run as declared, never a crash."""
    equivalent(Healthcheck(("CMD-SHELL", line)), parse_service("a", {}, "p"))


def test_declared_checks_bind_and_inference_only_informs() -> None:
    """A project that Compose would start cannot hang on what we inferred."""
    found = stack(
        declared={"healthcheck": {"test": ["CMD", "true"]}},
        inferred={"image": "redis:7"},
        nothing={"image": "mine"},
        silenced={"image": "mine", "healthcheck": {"disable": True}, "ports": [{"target": 80}]},
    )
    declared = readiness_of(found, "declared")
    assert (declared.probe, declared.binding) == (ExecProbe((), 30.0), True)
    assert readiness_of(found, "inferred").probe == RedisProbe()
    assert not readiness_of(found, "inferred").binding
    assert readiness_of(found, "nothing").probe == RunningProbe()
    assert readiness_of(found, "silenced").probe == TcpProbe(80)


def test_a_hint_wins_and_binds() -> None:
    """`x-ops.probe` is the author's word."""
    body = {"image": "redis:7", "x-ops": {"probe": {"http": {"port": 1, "path": "/x"}}, "ready_within": 5}}
    found = readiness_of(stack(a=body), "a")
    assert (found.probe, found.binding, found.within) == (HttpProbe(1, "/x"), True, 5)


@pytest.mark.parametrize(
    ("body", "port"),
    [
        ({"image": "nginx:1"}, 80),
        ({"image": "nginx:1", "ports": [{"target": 8080}]}, 8080),
        ({"image": "nginx:1", "ports": [{"target": 443}, {"target": 80}]}, 80),
        ({"image": "nginxinc/nginx-unprivileged"}, 8080),
        ({"image": "nginxinc/nginx-unprivileged", "expose": ["9000"]}, 9000),
        ({"image": "qdrant/qdrant", "ports": [{"target": 6334}]}, 6333),
        ({"image": "postgres:16", "command": ["-c", "port=5433"], "ports": [{"target": 9187}]}, 5433),
        ({"image": "postgres:16", "environment": {"PGPORT": "5433"}}, 5433),
        ({"image": "redis:7", "command": ["redis-server", "--port", "6380"]}, 6380),
        ({"image": "mine", "expose": ["9000-9001"]}, 9000),
        ({"image": "mine"}, None),
    ],
)
def test_the_port_at_which_an_answer_is_expected(body: dict[str, Any], port: int | None) -> None:
    """What the file tells goes before what the image usually does, save where its protocol is known."""
    assert port_served(parse_service("a", body, "p")) == port


def test_slow_health_checks_get_the_time_that_they_declare() -> None:
    """What Compose would still wait for is not given up at the default."""
    check = {"test": ["CMD", "true"], "interval": "30s", "timeout": "10s", "retries": 5, "start_period": "1m"}
    assert readiness_of(stack(a={"healthcheck": check}), "a").within == 60 + 5 * 40


def test_one_shots_are_told_or_waited_for() -> None:
    """A service that another waits to complete is a one-shot, and proven by its exit code."""
    found = stack(
        job={"image": "x"},
        app={"image": "x", "depends_on": {"job": {"condition": "service_completed_successfully"}}},
        told={"image": "x", "x-ops": {"oneshot": "always"}},
    )
    assert [is_oneshot(found, name) for name in ("job", "app", "told")] == [True, False, True]
    assert readiness_of(found, "job").probe == ExitProbe()


def test_who_lives_in_the_namespaces_of_a_service() -> None:
    """Directly or through another; a mere dependent does not."""
    found = stack(
        tracer={"image": "x", "pid": "service:client"},
        client={"image": "x", "network_mode": "service:vpn"},
        vpn={"image": "x"},
        other={"image": "x", "depends_on": {"vpn": {}}},
    )
    assert with_sharers(found, ["vpn"]) == ("vpn", "client", "tracer")


def test_own_subgraph_keeps_only_its_edges() -> None:
    """Edges to services that are not chosen are left out."""
    found = stack(a={"image": "x"}, b={"image": "x", "depends_on": {"a": {}}})
    assert graph_of(found, ["b"]) == {"b": frozenset()}

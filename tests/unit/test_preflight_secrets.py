"""Secrets: known, empty or missing; their values never told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.observed import Observed, parse_container
from compose.stack.preflight.secret_checks import check_secrets, is_known
from compose.stack.preflight.store_checks import first_start_conflicts, first_start_values, taken_over
from tests.preflighting import stack

CANARY = "c4n4ry-value"


def codes(service: str, **top: object) -> list[tuple[str, str]]:
    """Code and key of what is found in one service `a`."""
    return [(item.code, item.key) for item in check_secrets(stack(f"a: {service}", **top))]


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("POSTGRES_PASSWORD", "changeme", "default-secret"),
        ("POSTGRES_PASSWORD", "Postgres", "default-secret"),
        ("SECRET_KEY", "your-secret-key-here", "default-secret"),
        ("API_KEY", "<your key>", "default-secret"),
        ("REDIS_PASSWORD", "", "empty-secret"),
        ("OPENAI_API_KEY", "", None),
        ("NEO4J_AUTH", "neo4j/password", "default-secret"),
        ("NEO4J_AUTH", f"neo4j/{CANARY}", None),
        ("DATABASE_URL", "postgresql://u:password@db/x", "default-secret"),
        ("DATABASE_URL", f"postgresql://u:{CANARY}@db/x", None),
        ("POSTGRES_PASSWORD", CANARY, None),
        ("POSTGRES_PASSWORD_FILE", "/run/secrets/password", None),
        ("MAX_TOKENS", "1234", None),
        ("TOKEN_LIMIT", "123", None),
        ("PASSWORD_MIN_LENGTH", "12345", None),
        ("MYSQL_ALLOW_EMPTY_PASSWORD", "yes", "no-authentication"),
        ("POSTGRES_HOST_AUTH_METHOD", "trust", "no-authentication"),
        ("NEO4J_AUTH", "none", "no-authentication"),
    ],
)
def test_values(key: str, value: str, code: str | None) -> None:
    """What everybody knows is told by its key."""
    assert codes(f"{{image: x, environment: {{{key}: '{value}'}}}}") == (
        [(code, f"environment.{key}")] if code else []
    )


def test_own_stacks_need_every_secret() -> None:
    """In our own stacks an empty token is told as well."""
    assert codes("{image: x, environment: {API_TOKEN: ''}}", ops={"own": True}) == [
        ("empty-secret", "environment.API_TOKEN")
    ]


def test_databases_without_password() -> None:
    """The image would refuse to start."""
    assert codes("{image: 'postgres:16'}") == [("missing-secret", "environment.POSTGRES_PASSWORD")]
    assert codes("{image: 'postgres:16', environment: {POSTGRES_PASSWORD_FILE: /run/x}}") == []
    assert codes("{image: 'mariadb:11', environment: {MARIADB_RANDOM_ROOT_PASSWORD: '1'}}") == []


def test_redis_password_in_the_command() -> None:
    """`--requirepass` counts too."""
    assert codes("{image: redis, command: [redis-server, --requirepass, secret]}") == [
        ("default-secret", "command")
    ]
    assert codes(f"{{image: redis, command: [redis-server, --requirepass, {CANARY}]}}") == []


@given(st.text(alphabet="0123456789", min_size=6, max_size=9))
def test_values_are_never_told(value: str) -> None:
    """Whatever the value is, a finding has the key only."""
    text = f"{{image: x, environment: {{PASSWORD: '{value}', URL: 'http://u:{value}@h/'}}}}"
    found = list(check_secrets(stack(f"a: {text}")))
    assert bool(found) is is_known(value)
    assert all(value not in str(item) for item in found)


def test_no_value_in_any_finding() -> None:
    """A known value is not repeated either."""
    text = "environment: {PASSWORD: letmein, URL: 'http://u:letmein@h/'}, command: [--requirepass=letmein]"
    found = list(check_secrets(stack(f"a: {{image: x, {text}}}")))
    assert len(found) == 3
    assert all("letmein" not in str(item) for item in found)


def mark(value: str) -> str:
    """Stands for the keyed hash."""
    return f"h{hash(value)}"


DATABASE = """
db:
  image: postgres:16
  environment: {POSTGRES_PASSWORD: %s, POSTGRES_USER: u}
  volumes: [{type: volume, source: data, target: /var/lib/postgresql/data}]
"""
VOLUMES = {"data": {"name": "t-unit_data"}}


def container(password: str, volume: str = "t-unit_data", started: str = "2026-01-01T00:00:00Z") -> Observed:
    """The database's container as the engine shows it."""
    inspect = {
        "Id": "1",
        "Config": {
            "Env": [f"POSTGRES_PASSWORD={password}", "POSTGRES_USER=u"],
            "Labels": {"com.docker.compose.service": "db"},
        },
        "State": {"StartedAt": started},
        "Mounts": [{"Destination": "/var/lib/postgresql/data", "Name": volume}],
    }
    return Observed((parse_container(inspect),))


def test_a_changed_first_start_secret_is_an_error_without_value() -> None:
    """The database keeps the old one, whatever the file says."""
    wanted = stack(DATABASE % CANARY, volumes=VOLUMES)
    earlier = taken_over(wanted, container("old-canary"), mark)
    (item,) = first_start_conflicts(wanted, earlier, mark)
    assert (item.code, item.place) == ("first-start-secret", "db.environment.POSTGRES_PASSWORD")
    assert CANARY not in str(item)
    assert "old-canary" not in str(item)


def test_no_conflict_when_nothing_was_taken_over() -> None:
    """The same value, another volume, or a container that never started: all is well."""
    wanted = stack(DATABASE % CANARY, volumes=VOLUMES)
    for observed in (
        container(CANARY),
        container("old", volume="another"),
        container("old", started="0001-01-01T00:00:00Z"),
        Observed(),
    ):
        assert not first_start_conflicts(wanted, taken_over(wanted, observed, mark), mark)


def test_the_last_release_tells_as_well() -> None:
    """Keyed hashes of a release are enough; a variable that went away is a conflict unless a file replaces it."""
    before = first_start_values(stack(DATABASE % "old", volumes=VOLUMES), mark)
    now = stack(DATABASE.replace("POSTGRES_PASSWORD: %s, ", ""), volumes=VOLUMES)
    filed = stack(DATABASE.replace("POSTGRES_PASSWORD: %s", "POSTGRES_PASSWORD_FILE: /x"), volumes=VOLUMES)
    assert [item.key for item in first_start_conflicts(now, before, mark)] == ["environment.POSTGRES_PASSWORD"]
    assert not first_start_conflicts(filed, before, mark)

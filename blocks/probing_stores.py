"""Asking databases whether they are ready, in their own protocols."""

from __future__ import annotations

import psycopg
import redis

from compose.stack.observed import Container
from compose.stack.probes import Answer, PostgresProbe, RedisProbe

CONNECT = 1.0


def ask(probe: PostgresProbe | RedisProbe, address: str, container: Container, limit: float) -> Answer:
    """Ask one database at an address; Redis has `limit` seconds for its answer."""
    if isinstance(probe, PostgresProbe):
        return _postgres(probe, address, container)
    return _redis(probe, address, container, limit)


def _postgres(probe: PostgresProbe, address: str, container: Container) -> Answer:
    given = container.environment
    user = given.get(probe.user_key) or "postgres"
    database = given.get(probe.database_key) or user
    try:
        with psycopg.connect(
            host=address,
            port=probe.port,
            user=user,
            password=given.get(probe.password_key) or None,
            dbname=database,
            connect_timeout=3,
        ) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        # libpq gives no SQLSTATE for a refused connection attempt: only its text tells starting from refusing
        text = " ".join(str(error).split())
        accepting = not any(
            sign in text
            for sign in ("starting up", "shutting down", "not yet accepting", "recovery", "timeout", "closed")
        )
        if accepting and not probe.strict:
            return Answer(True, f"accepts connections (our own was refused: {text[-80:]})")
        return Answer(False, f"{probe}: {text[-200:]}")
    return Answer(True, "answered SELECT 1")


def _redis(probe: RedisProbe, address: str, container: Container, limit: float) -> Answer:
    password = next(
        (container.environment[key] for key in probe.password_keys if container.environment.get(key)), None
    )
    client = redis.Redis(
        address, probe.port, password=password, socket_timeout=limit, socket_connect_timeout=CONNECT
    )
    try:
        client.ping()
    except redis.BusyLoadingError:
        return Answer(False, "is loading its data")
    except (redis.AuthenticationError, redis.ResponseError) as error:
        if probe.strict:
            return Answer(False, f"{probe}: {' '.join(str(error).split())[:100]}")
        return Answer(True, f"answers ({' '.join(str(error).split())[:100]})")
    except redis.RedisError as error:
        return Answer(False, f"{probe}: {error}")
    finally:
        client.close()
    return Answer(True, "answered PONG")

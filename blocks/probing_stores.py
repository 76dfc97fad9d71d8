"""Asking databases whether they are ready, in their own protocols."""

from __future__ import annotations

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from blocks.credentials import Read, postgres_login, redis_passwords
from compose.stack.observed import Container
from compose.stack.probes import Answer, PostgresProbe, RedisProbe

CONNECT = 1.0
UNKNOWN = "it asks for a password that is not known here"
ANSWERED = ("FATAL", "password")
"""What only a PostgreSQL server makes the client say; anything else may have taken the connection."""
STARTING = ("starting up", "shutting down", "not yet accepting", "recovery", "timeout", "closed")


def ask(probe: PostgresProbe | RedisProbe, host: str, container: Container, read: Read, limit: float) -> Answer:
    """Ask one database at an address.

    Args:
        read: Reads a file in the container; its password may lie in one.
        limit: Seconds that Redis has for its answer.
    """
    if isinstance(probe, PostgresProbe):
        return _postgres(probe, host, container, read)
    return _redis(probe, host, container, read, limit)


def _postgres(probe: PostgresProbe, host: str, container: Container, read: Read) -> Answer:
    login = postgres_login(container, read if probe.strict else _nothing)
    try:
        with psycopg.connect(
            host=host,
            port=probe.port,
            user=login.user,
            password=login.password,
            dbname=login.database,
            connect_timeout=3,
        ) as connection:
            connection.execute("SELECT 1")
    except psycopg.Error as error:
        # libpq gives no SQLSTATE for a refused connection attempt: only its text tells starting from refusing
        text = " ".join(str(error).split())
        if any(sign in text for sign in STARTING):
            return Answer(False, f"{probe}: {text[-200:]}")
        if not probe.strict and any(sign in text for sign in ANSWERED):
            return Answer(True, f"accepts connections (our own was refused: {text[-80:]})")
        if login.password is None and ("no password supplied" in text or "authentication failed" in text):
            return Answer(False, UNKNOWN, unproven=True)
        return Answer(False, f"{probe}: {text[-200:]}")
    return Answer(True, "answered SELECT 1")


def _redis(probe: RedisProbe, host: str, container: Container, read: Read, limit: float) -> Answer:
    """Ask with each password that may be the one, at last with none."""
    known = redis_passwords(container, read if probe.strict else _nothing)
    for password in (*known, None):
        answer = _ping(probe, host, password, limit)
        if not answer.unproven:
            return answer
    return Answer(False, f"{probe}: its password is refused") if known else answer


def _ping(probe: RedisProbe, host: str, password: str | None, limit: float) -> Answer:
    client = redis.Redis(
        host,
        probe.port,
        password=password,
        protocol=2,
        socket_timeout=limit,
        socket_connect_timeout=CONNECT,
        retry=Retry(NoBackoff(), 0),  # it would try a refused password again and again, for seconds
    )
    try:
        client.ping()
    except redis.BusyLoadingError:
        return Answer(False, "is loading its data")
    except (redis.AuthenticationError, redis.ResponseError) as error:
        text = " ".join(str(error).split())[:100]
        if not probe.strict:
            return Answer(True, f"answers ({text})")
        if isinstance(error, redis.AuthenticationError) or "NOAUTH" in text:
            return Answer(False, UNKNOWN, unproven=True)
        return Answer(False, f"{probe}: {text}")
    except redis.RedisError as error:
        return Answer(False, f"{probe}: {error}")
    finally:
        client.close()
    return Answer(True, "answered PONG")


def _nothing(_: str) -> None:
    """Reads no file: who only asks whether connections are accepted needs no password."""

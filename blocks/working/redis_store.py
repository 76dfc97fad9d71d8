"""Redis: a key that expires is written, read and removed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from blocks.credentials import redis_passwords
from blocks.reaching import Place
from blocks.working.scene import CONNECT, PREFIX, Broken, NotProven, Proof, Scene, place_of
from compose.stack.observed import Container
from compose.stack.round_trips import RoundTrip

EXPIRY = 30


def round_trip(trip: RoundTrip, container: Container, scene: Scene) -> list[Proof]:
    """SET with an expiry, GET, TTL, DEL, and look whether the key is gone.

    Raises:
        Broken: What was written is not read, does not expire, or is left behind.
    """
    key, token = f"{PREFIX}{uuid.uuid4().hex}", uuid.uuid4().hex
    with connected(trip, container, scene) as client:
        try:
            client.set(key, token, ex=EXPIRY)
            found, left = client.get(key), client.ttl(key)
        finally:
            client.delete(key)
        if found != token:
            raise Broken("a key just written reads differently")
        if not 0 < left <= EXPIRY:
            raise Broken(f"a key written for {EXPIRY} s says that it expires in {left} s")
        if client.exists(key):
            raise Broken(f"key {key} is still there after DEL")
        version = client.info("server").get("redis_version", "")
    return [Proof(str(trip), f"Redis {version}: wrote, read and removed a key with an expiry")]


@contextmanager
def connected(trip: RoundTrip, container: Container, scene: Scene) -> Iterator[Any]:
    """A client with the password of the container's environment or command.

    Raises:
        NotProven: No password is known and the server asks for one, or it is a replica.
        Broken: It cannot be reached or a command failed.
    """
    known = redis_passwords(container, scene.read(container))
    client = _let_in(trip, place_of(container, trip.port), known)
    try:
        yield client
    except redis.ReadOnlyError:
        raise NotProven("a replica: it takes no writes") from None
    except redis.RedisError as error:
        if not known and ("NOAUTH" in str(error) or isinstance(error, redis.AuthenticationError)):
            raise NotProven("it asks for a password that is not known here") from None
        raise Broken(f"{type(error).__name__}: {error}") from None
    finally:
        client.close()


def _let_in(trip: RoundTrip, place: Place, known: tuple[str, ...]) -> Any:
    """A client with the first password that the server takes, or with none; other errors show in its use."""
    for password in (*known, None):
        client = redis.Redis(
            place.host,
            place.port,
            password=password,
            protocol=2,
            decode_responses=True,
            socket_timeout=trip.within,
            socket_connect_timeout=CONNECT,
            client_name="ops-verify",
            retry=Retry(NoBackoff(), 0),
        )
        try:
            client.ping()
        except redis.AuthenticationError:
            client.close()
        except redis.RedisError:
            break
        else:
            break
    return client

"""Redis: a key that expires is written, read and removed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import redis

from blocks.working.scene import CONNECT, PREFIX, Broken, NotProven, Proof, Scene, address_of
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
    password = scene.secret(container, "REDIS_PASSWORD", "REDISCLI_AUTH")
    words = scene.stack[container.service].command
    password = password or next((value for flag, value in pairwise(words) if flag == "--requirepass"), None)
    client = redis.Redis(
        address_of(container),
        trip.port,
        password=password,
        decode_responses=True,
        socket_timeout=trip.within,
        socket_connect_timeout=CONNECT,
        client_name="ops-verify",
    )
    try:
        yield client
    except redis.ReadOnlyError:
        raise NotProven("a replica: it takes no writes") from None
    except redis.RedisError as error:
        if password is None and ("NOAUTH" in str(error) or isinstance(error, redis.AuthenticationError)):
            raise NotProven("it asks for a password that is not known here") from None
        raise Broken(f"{type(error).__name__}: {error}") from None
    finally:
        client.close()

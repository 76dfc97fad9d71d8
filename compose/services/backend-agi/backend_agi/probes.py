"""Round trips to everything the backend depends on."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping

import httpx
from redis.asyncio import Redis

from backend_agi.errors import explain
from backend_agi.health import Reading
from backend_agi.store import Store

Check = Callable[[], Awaitable[str]]


async def measure(check: Check, within: float, secrets: Iterable[str]) -> Reading:
    """Run one check for at most `within` seconds; whatever goes wrong is why the dependency is down."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(within):
            detail, up = await check(), True
    except TimeoutError:
        detail, up = f"no answer within {within:g} s", False
    except Exception as error:  # noqa: BLE001 - whatever went wrong is the finding
        detail, up = explain(error, secrets), False
    return Reading(up, (time.perf_counter() - began) * 1000, detail)


async def measure_all(checks: Mapping[str, Check], within: float, secrets: Iterable[str]) -> dict[str, Reading]:
    """Run all checks at the same time."""
    readings = await asyncio.gather(*(measure(check, within, secrets) for check in checks.values()))
    return dict(zip(checks, readings, strict=True))


class Measuring:
    """Requests that come while a measurement runs share it: probes cannot pile up on the dependencies."""

    def __init__(self, checks: Mapping[str, Check], within: float, secrets: Iterable[str]) -> None:
        self.checks = checks
        self.within = within
        self.secrets = tuple(secrets)
        self._running: asyncio.Task[dict[str, Reading]] | None = None

    async def readings(self) -> dict[str, Reading]:
        """Return what is found now."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(measure_all(self.checks, self.within, self.secrets))
        return dict(await asyncio.shield(self._running))


async def postgresql(store: Store) -> str:
    """Log in and have the server compute something."""
    version, size = await store.about()
    return f"PostgreSQL {version}, database of {size // 1024} kB"


async def redis(client: Redis) -> str:
    """Write a key that expires and read it back."""
    key, token = f"backend:health:{uuid.uuid4().hex}", uuid.uuid4().hex
    await client.set(key, token, px=5000)
    found = await client.getdel(key)
    if found != token:
        raise RuntimeError("a key just written reads differently")
    return "wrote and read a key"


async def ollama(http: httpx.AsyncClient, url: str) -> str:
    """Ask the model server for its version and its models."""
    version, tags = await asyncio.gather(http.get(f"{url}/api/version"), http.get(f"{url}/api/tags"))
    for response in (version, tags):
        response.raise_for_status()
    return f"Ollama {version.json()['version']}, {len(tags.json().get('models') or ())} model(s)"


async def chromadb(http: httpx.AsyncClient, url: str) -> str:
    """Ask for a heartbeat, and for a count that needs the database behind it."""
    beat = await http.get(f"{url}/api/v2/heartbeat")
    beat.raise_for_status()
    count = await http.get(f"{url}/api/v2/tenants/default_tenant/databases/default_database/collections_count")
    count.raise_for_status()
    return f"{count.json()} collection(s)"


async def task_coordinator(http: httpx.AsyncClient, url: str) -> str:
    """Ask the coordinator for its own health."""
    response = await http.get(f"{url}/health")
    body = response.json()
    if response.status_code != 200:
        down = [name for name, entry in body.get("services", {}).items() if entry.get("status") != "up"]
        raise RuntimeError("says it is degraded: " + (", ".join(down) or "workers"))
    return f"{len(body['workers'])} worker(s), {body['queue']['waiting']} task(s) waiting"

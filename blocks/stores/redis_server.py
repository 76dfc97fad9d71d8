"""The door to Redis: commands over the network, or by redis-cli inside the container where that cannot be."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import redis

from blocks.credentials import redis_passwords
from blocks.engine import Engine
from blocks.exec_stream import reading
from blocks.stores.containers import Asked, ask_container
from compose.stack.backup import tools
from compose.stack.errors import Failed

CONNECT, ANSWER = 3.0, 30.0
SAVE_LIMIT = 3600.0
EVERY = 0.1
BUSY = ("already in progress", "in progress", "BUSY")


@dataclass(frozen=True)
class RedisServer:
    """One server.

    Args:
        client: A connection over the network; None where commands go through the container.
    """

    asked: Asked
    password: str | None = field(repr=False)
    client: Any = None

    @property
    def name(self) -> str:
        """Its container's name."""
        return self.asked.container.name

    def call(self, *words: str) -> str:
        """One command; its answer as redis-cli prints it without decoration.

        Raises:
            Failed: The server refused it or went away.
        """
        return self._over_network(words) if self.client is not None else self._inside(words)

    def _over_network(self, words: tuple[str, ...]) -> str:
        try:
            connection = self.client.connection_pool.get_connection()
            try:
                connection.send_command(*words)
                answer = connection.read_response()
            finally:
                self.client.connection_pool.release(connection)
        except redis.RedisError as error:
            raise Failed(f"{words[0]}: {error}", where=self.name) from None
        return _text(answer)

    def _inside(self, words: tuple[str, ...]) -> str:
        environment = {"REDISCLI_AUTH": self.password} if self.password else {}
        with reading(self.asked.engine, self.asked.id, tools.redis_cli(words), environment=environment) as running:
            answer = b"".join(running).decode(errors="replace").rstrip("\n")
            code, said = running.code(), running.said
        if code or answer.startswith(("ERR ", "NOAUTH", "NOPERM", "WRONGPASS", "Could not connect")):
            raise Failed(f"{words[0]}: {(answer or said)[:200]}", where=self.name)
        return answer

    def info(self, section: str) -> dict[str, str]:
        """One section of INFO."""
        pairs = (line.strip().partition(":") for line in self.call("INFO", section).splitlines())
        return {key: value for key, colon, value in pairs if colon}

    def setting(self, name: str) -> str:
        """One setting of the running server.

        Raises:
            Failed: CONFIG is forbidden or renamed.
        """
        try:
            lines = self.call("CONFIG", "GET", name).split("\n")
        except Failed as error:
            raise Failed(
                f"it does not tell where its data is ({error.what})",
                where=self.name,
                next="allow CONFIG GET, or save its volume stopped: x-ops.backup.kind: volume",
            ) from None
        if len(lines) < 2:
            raise Failed(f"it has no setting {name}", where=self.name)
        return lines[1]

    def save(self, limit: float = SAVE_LIMIT) -> None:
        """Make it write its RDB now, in the background; a save that runs already is waited for first.

        Raises:
            Failed: It could not, or not in time.
        """
        until = time.monotonic() + limit
        before = self._settled(until)
        asked = self._begin(until)
        while True:
            now = self.info("persistence")
            if now.get("rdb_bgsave_in_progress") == "0" and self._moved(before, now):
                break
            if time.monotonic() - asked > 2 and _failed(before, now):
                break
            _in_time(until, self.name)
        if now.get("rdb_last_bgsave_status") != "ok":
            raise Failed(
                "it could not write its RDB (rdb_last_bgsave_status is not ok)",
                where=self.name,
                next=f"docker logs {self.name}",
            )

    def _settled(self, until: float) -> dict[str, str]:
        """Its state while no save runs, and so that a new one shows: the time of a save counts in seconds."""
        while True:
            now = self.info("persistence")
            clock = int(self.call("TIME").split("\n")[0])
            idle = now.get("rdb_bgsave_in_progress") == "0" and now.get("loading", "0") == "0"
            if idle and clock > int(now.get("rdb_last_save_time") or 0):
                return now
            _in_time(until, self.name)

    def _begin(self, until: float) -> float:
        while True:
            try:
                self.call("BGSAVE", "SCHEDULE")
                return time.monotonic()
            except Failed as error:
                if not any(sign in error.what for sign in BUSY):
                    raise
            _in_time(until, self.name)

    def _moved(self, before: Mapping[str, str], now: Mapping[str, str]) -> bool:
        return any(
            int(now.get(key) or 0) > int(before.get(key) or 0) for key in ("rdb_last_save_time", "rdb_saves")
        )

    def close(self) -> None:
        """Let the connection go."""
        if self.client is not None:
            self.client.close()


def redis_server(engine: Engine, container: str, options: Mapping[str, object] | None = None) -> RedisServer:
    """Connect to the server of a container.

    Args:
        options: `port`, where it is not 6379.

    Raises:
        Failed: Nobody gets in.
    """
    asked = ask_container(engine, container)
    port = int(str((options or {}).get("port") or 6379))
    reason = ""
    for password in (*redis_passwords(asked.container, asked.text), None):
        server = RedisServer(asked, password, _client(asked, password, port))
        try:
            server.call("PING")
        except Failed as error:
            reason = error.what
            server.close()
        else:
            return server
    raise Failed(
        f"nobody gets in: {reason}", where=asked.container.name, next="set REDIS_PASSWORD or REDISCLI_AUTH"
    )


def _client(asked: Asked, password: str | None, port: int) -> Any:
    """A connection over the network; None where there is none."""
    if not asked.container.address:
        return None
    client = redis.Redis(
        asked.container.address, port, password=password, protocol=2, client_name="ops-backup",
        socket_connect_timeout=CONNECT, socket_timeout=ANSWER,
    )  # fmt: skip
    try:
        client.ping()
    except redis.RedisError:
        client.close()
        return None
    return client


def _failed(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether a save ended badly: nothing runs or waits, and the last one was no success."""
    waits = now.get("aof_rewrite_in_progress") == "1" or now.get("rdb_bgsave_in_progress") == "1"
    return not waits and now.get("rdb_last_bgsave_status") != "ok"


def _in_time(until: float, where: str) -> None:
    if time.monotonic() > until:
        raise Failed("its save did not end in time", where=where)
    time.sleep(EVERY)


def _text(answer: Any) -> str:
    if isinstance(answer, (list, tuple)):
        return "\n".join(_text(one) for one in answer)
    return answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)

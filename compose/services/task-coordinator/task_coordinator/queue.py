"""The queue: a Redis stream whose messages are leased to workers, and one hash per task."""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

import redis

from task_coordinator import scripts
from task_coordinator.records import Answer, Claim, State

PREFIX = "coordinator:"
STREAM, INDEX, AGENTS = PREFIX + "queue", PREFIX + "tasks", PREFIX + "agents"
GROUP = "workers"


def connect(host: str, port: int, password: str, timeout: float = 5.0) -> redis.Redis:
    """Return a client for one Redis server; `timeout` in seconds for connecting and for each answer."""
    return redis.Redis(
        host=host,
        port=port,
        password=password or None,
        decode_responses=True,
        socket_connect_timeout=2,
        socket_timeout=timeout,
        health_check_interval=15,
    )


class Queue:
    """Tasks in Redis: submitted, claimed under a lease, renewed, ended once."""

    def __init__(self, client: Any, lease: float, attempts: int, keep: int) -> None:
        self.client = client
        self.lease_ms = int(lease * 1000)
        self.attempts = attempts
        self.keep = keep
        self._cursor = "0-0"
        self._submit = client.register_script(scripts.SUBMIT)
        self._begin = client.register_script(scripts.BEGIN)
        self._renew = client.register_script(scripts.RENEW)
        self._complete = client.register_script(scripts.COMPLETE)
        self._put_back = client.register_script(scripts.PUT_BACK)

    def prepare(self) -> None:
        """Make the stream and its consumer group where they are missing."""
        try:
            self.client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def submit(self, fields: Mapping[str, str], task: str = "") -> tuple[str, bool]:
        """Queue a task; return its id and whether it is new (a known id is not queued again)."""
        task = task or str(uuid.uuid4())
        flat = [part for pair in fields.items() for part in pair]
        new = self._submit(keys=[_key(task), STREAM, INDEX], args=[task, *flat])
        return task, bool(new)

    def claim(self, worker: str, wait: float) -> Claim | None:
        """Lease one task to a worker: first what a dead worker left, else the next; wait seconds for it."""
        for message, fields in self._overdue(worker) or self._next(worker, wait):
            task = fields["task"]
            args = [GROUP, message, worker, self.attempts, self.keep]
            number = int(self._begin(keys=[_key(task), STREAM], args=args))
            if number:
                return self._claim(task, message, number)
        return None

    def _overdue(self, worker: str) -> list[tuple[str, dict[str, str]]]:
        answer = self.client.xautoclaim(STREAM, GROUP, worker, self.lease_ms, start_id=self._cursor, count=1)
        self._cursor = answer[0]
        return [(message, fields) for message, fields in answer[1] if fields]

    def _next(self, worker: str, wait: float) -> list[tuple[str, dict[str, str]]]:
        block = max(1, int(wait * 1000))
        answer = self.client.xreadgroup(GROUP, worker, {STREAM: ">"}, count=1, block=block)
        return [entry for _stream, entries in answer or () for entry in entries]

    def _claim(self, task: str, message: str, number: int) -> Claim:
        record = self.client.hgetall(_key(task))
        return Claim(
            task=task,
            message=message,
            number=number,
            prompt=record.get("prompt", ""),
            agent=record.get("agent", ""),
            model=record.get("asked_model", ""),
            max_tokens=int(record.get("max_tokens") or 0),
        )

    def renew(self, claim: Claim, worker: str) -> bool:
        """Keep a claim for another lease; False when it is no longer this worker's."""
        return bool(self._renew(keys=[_key(claim.task), STREAM], args=[*_held(claim), worker]))

    def finish(self, claim: Claim, answer: Answer) -> bool:
        """End a task with its answer; False when another claim has taken over or ended it."""
        return self._end(claim, {"state": "finished", "error": "", **answer.fields()})

    def fail(self, claim: Claim, error: str) -> bool:
        """End a task without an answer; False when another claim has taken over or ended it."""
        return self._end(claim, {"state": "failed", "error": error})

    def _end(self, claim: Claim, fields: Mapping[str, str]) -> bool:
        flat = [part for pair in fields.items() for part in pair]
        return bool(self._complete(keys=[_key(claim.task), STREAM], args=[*_held(claim), self.keep, *flat]))

    def put_back(self, claim: Claim, reason: str, *, counted: bool, at_once: bool) -> bool:
        """Give a task back; uncounted attempts are forgiven; not `at_once` means after one lease."""
        idle = self.lease_ms if at_once else 0
        args = [*_held(claim), reason, "1" if counted else "0", idle]
        return bool(self._put_back(keys=[_key(claim.task), STREAM], args=args))

    def release(self, worker: str) -> int:
        """Make everything that a dead worker holds claimable at once; return how many tasks that were."""
        pending = self.client.xpending_range(STREAM, GROUP, "-", "+", 1000, consumername=worker)
        messages = [entry["message_id"] for entry in pending]
        if messages:
            idle = self.lease_ms
            self.client.xclaim(STREAM, GROUP, "nobody", 0, messages, idle=idle, justid=True)
        self.client.xgroup_delconsumer(STREAM, GROUP, worker)
        return len(messages)

    def get(self, task: str) -> dict[str, str] | None:
        """Return a task's record, None when there is none (any more)."""
        return cast("dict[str, str]", self.client.hgetall(_key(task))) or None

    def forget(self, task: str) -> bool:
        """Remove a task in any state: workers drop its message, and an answer comes to nothing."""
        with self.client.pipeline(transaction=True) as pipe:
            pipe.delete(_key(task))
            pipe.zrem(INDEX, task)
            return bool(pipe.execute()[0])

    def recent(self, limit: int, state: State | None = None) -> list[dict[str, str]]:
        """Return the newest tasks first; forgets index entries whose record has expired."""
        found: list[dict[str, str]] = []
        start = 0
        while len(found) < limit:
            ids = self.client.zrevrange(INDEX, start, start + 199)
            if not ids:
                break
            start += len(ids) - self._take(ids, found, state)
        return found[:limit]

    def _take(self, ids: Sequence[str], found: list[dict[str, str]], state: State | None) -> int:
        """Add the records of these ids that match; remove and count the expired ones."""
        with self.client.pipeline(transaction=False) as pipe:
            for task in ids:
                pipe.hgetall(_key(task))
            records = pipe.execute()
        gone = [task for task, record in zip(ids, records, strict=True) if not record]
        if gone:
            self.client.zrem(INDEX, *gone)
        found.extend(record for record in records if record and state in (None, record.get("state")))
        return len(gone)

    def depth(self) -> dict[str, int]:
        """Return how many tasks wait and how many are leased."""
        self.prepare()
        total = int(self.client.xlen(STREAM))
        leased = int(self.client.xpending(STREAM, GROUP)["pending"])
        return {"waiting": max(0, total - leased), "leased": leased}


def _key(task: str) -> str:
    return f"{PREFIX}task:{task}"


def _held(claim: Claim) -> list[str]:
    return [str(claim.number), GROUP, claim.message]

"""One worker process: claims a task, works, ends it; `python -m task_coordinator.worker NAME`."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import httpx
import redis

from task_coordinator.agents import Agents, Faulty, NotReachable, Refused
from task_coordinator.queue import AGENTS, Queue, connect
from task_coordinator.records import Answer, Claim
from task_coordinator.settings import Settings

log = logging.getLogger("coordinator.worker")
WAIT = 0.5


class Stopped(BaseException):
    """SIGTERM came."""


def run(queue: Queue, agents: Agents, name: str) -> None:
    """Work until SIGTERM; a Redis that is away is waited for."""
    parent = os.getppid()
    while os.getppid() == parent:
        try:
            claim = queue.claim(name, WAIT)
            if claim:
                carry_out(queue, agents, claim, name)
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            queue.prepare()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            log.warning("redis does not answer: %s", error)
            time.sleep(WAIT)


def carry_out(queue: Queue, agents: Agents, claim: Claim, name: str) -> None:
    """Do one claimed task and say how it ended; on SIGTERM it goes back to the queue, not counted."""
    log.info("task %s: attempt %d begins", claim.task, claim.number)
    try:
        with kept(queue, claim, name):
            answer = agents.work(claim, queue.client.hgetall(AGENTS))
    except Stopped:
        queue.put_back(claim, "its worker was stopped", counted=False, at_once=True)
        raise
    except NotReachable as error:
        queue.put_back(claim, str(error), counted=False, at_once=False)
        log.warning("task %s waits: %s", claim.task, error)
        wait_for_model(agents)
    except Faulty as error:
        queue.put_back(claim, str(error), counted=True, at_once=False)
        log.warning("task %s, attempt %d: %s", claim.task, claim.number, error)
    except Refused as error:
        queue.fail(claim, str(error))
        log.warning("task %s failed: %s", claim.task, error)
    else:
        finish(queue, claim, answer)


def finish(queue: Queue, claim: Claim, answer: Answer) -> None:
    """Hand in the answer; while Redis is away keep trying for as long as the claim may be ours."""
    for _ in range(120):
        try:
            ended = queue.finish(claim, answer)
        except (redis.ConnectionError, redis.TimeoutError) as error:
            log.warning("task %s: answer not handed in yet: %s", claim.task, error)
            time.sleep(WAIT)
        else:
            log.info("task %s %s", claim.task, "finished" if ended else "was ended by another claim")
            return


def wait_for_model(agents: Agents) -> None:
    """Claim nothing while the model server is away, so that no task loses its turn for it."""
    while not agents.reachable():
        time.sleep(WAIT)


@contextmanager
def kept(queue: Queue, claim: Claim, name: str) -> Iterator[None]:
    """Renew the lease from another thread for as long as the work takes."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(queue.lease_ms / 3000):
            try:
                if not queue.renew(claim, name):
                    log.warning("task %s: the claim was taken over", claim.task)
                    return
            except redis.RedisError as error:
                log.warning("task %s: lease not renewed: %s", claim.task, error)

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()


def stop(_number: int, _frame: FrameType | None) -> None:
    """Turn SIGTERM into Stopped, once."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def main(name: str) -> None:
    """Run one worker under a name that is unique for its process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = Settings.from_env(os.environ)
    client = connect(settings.redis_host, settings.redis_port, settings.redis_password)
    queue = Queue(client, settings.lease, settings.attempts, settings.keep)
    timeout = httpx.Timeout(settings.answer_within, connect=3)
    try:
        with httpx.Client(timeout=timeout, trust_env=False) as http:
            run(queue, Agents(http, settings.ollama_url, settings.models, settings.max_tokens), name)
    except Stopped:
        with suppress(redis.RedisError):  # what it held would else wait for its lease to end
            queue.release(name)
        log.info("stopped")


if __name__ == "__main__":
    main(sys.argv[1])

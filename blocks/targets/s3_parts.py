"""The parts of one multipart upload: sent by two threads, completed or thrown away."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from threading import Event, Semaphore

from blocks.targets.part import Cancelled, Window
from blocks.targets.s3_api import S3Api
from blocks.targets.s3_errors import Answered
from compose.stack.errors import Failed

THREADS = 2
_log = logging.getLogger("ops.targets")


class PartSender:
    """Sends the parts of one multipart upload, two at a time.

    Args:
        upload: The upload's id at the server.
        begun: The server's clock when it began.
    """

    def __init__(self, api: S3Api, key: str, upload: str, begun: datetime | None) -> None:
        self.cancelled = Event()
        self._api, self._key, self._upload, self._begun = api, key, upload, begun
        self._room = Semaphore(THREADS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ops-part")
        self._sent: dict[int, Future[str]] = {}
        self._failure: BaseException | None = None

    def send(self, number: int, body: Window, done: Callable[[], None] = lambda: None) -> None:
        """Send one part as soon as fewer than two are on their way.

        Args:
            done: Called when the bytes are needed no more, also after a failure.

        Raises:
            Failed: An earlier part was not taken.
        """
        self._room.acquire()
        try:
            if self._failure:
                raise self._failure
            self._sent[number] = self._threads.submit(self._send, number, body, done)
        except BaseException:
            self._room.release()
            done()
            raise

    def complete(self, size: int, tags: dict[int, str]) -> None:
        """Wait for every part, then make the object.

        Args:
            size: Bytes that the object must have.
            tags: Of parts that the server had before.

        Raises:
            Failed: A part was not taken, or the object is not as long as it should be.
        """
        sent = {number: future.result() for number, future in self._sent.items()}
        self._threads.shutdown()
        try:
            self._api.complete(self._key, self._upload, tags | sent)
        except Answered as error:
            if not self._done_all_the_same(error, size):
                raise
        prove_size(self._api, self._key, size)

    def stop(self) -> None:
        """End what is on its way; never raises."""
        self.cancelled.set()
        self._threads.shutdown(cancel_futures=False)

    def abort(self) -> None:
        """End what is on its way and throw the upload away; never raises."""
        self.stop()
        try:
            self._api.abort(self._key, self._upload)
        except Answered as error:
            if error.code_there != "NoSuchUpload":
                _log.warning("%s: a half-finished upload stays until the next sweep: %s", self._key, error.what)

    def _send(self, number: int, body: Window, done: Callable[[], None]) -> str:
        try:
            if self.cancelled.is_set():
                raise Cancelled
            return self._api.send(self._key, self._upload, number, body)
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            done()
            self._room.release()

    def _done_all_the_same(self, error: Answered, size: int) -> bool:
        """Whether an answer got lost on its way and boto's second try found the upload completed."""
        if error.code_there != "NoSuchUpload" or self._begun is None:
            return False
        head = self._api.head(self._key)
        return head is not None and head.size == size and head.modified >= self._begun


def prove_size(api: S3Api, key: str, size: int) -> None:
    """See that an object is as long as what was sent.

    Raises:
        Failed: It is not, or is not there.
    """
    head = api.head(key)
    if head is None or head.size != size:
        stored = "nothing" if head is None else f"{head.size} bytes"
        raise Failed(f"{size} bytes were sent and {stored} is stored", where=api.where(key), next="save it again")

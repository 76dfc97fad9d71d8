"""A bucket that speaks S3: AWS's own, or any server that knows eleven of its calls."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from pydantic import SecretStr

from blocks.targets.base import Entry, Upload
from blocks.targets.memory import SHARED, Budget
from blocks.targets.s3_api import Pending, S3Api
from blocks.targets.s3_client import Credentials, Patience
from blocks.targets.s3_errors import FORBIDDEN, Answered
from blocks.targets.s3_file import put_file
from blocks.targets.s3_read import read_object
from blocks.targets.s3_upload import S3Upload
from compose.stack.backup.keys import is_safe, safe_key
from compose.stack.errors import Failed, Refused


def _now() -> datetime:
    return datetime.now(UTC)


class S3Target:
    """A place in a bucket; nothing connects before the first call.

    Args:
        bucket: Its name; it is never created.
        prefix: Path inside it; empty for the whole bucket.
        endpoint: URL of the server; empty for AWS itself.
        access_key: Id of the key that writes and reads.
        delete_access_key: Id of the key that deletes; empty when the same one does.
        name: What people call it; its address when empty.
        spool: Where parts that the budget does not take wait; the temporary directory when None.
        now: Our clock.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        endpoint: str = "",
        region: str = "us-east-1",
        access_key: str,
        secret_key: SecretStr,
        delete_access_key: str = "",
        delete_secret_key: SecretStr | None = None,
        name: str = "",
        budget: Budget = SHARED,
        spool: Path | None = None,
        patience: Patience | None = None,
        now: Callable[[], datetime] = _now,
    ) -> None:
        prefix = prefix.strip("/")
        self._prefix = f"{safe_key(prefix)}/" if prefix else ""
        self.place = f"s3://{bucket}/{prefix}".rstrip("/")
        self.origin = f"{endpoint} {self.place}".strip()
        self.name = name or self.place
        self._budget, self._spool, self._now = budget, spool, now
        deleter = (
            Credentials(delete_access_key, delete_secret_key) if delete_access_key and delete_secret_key else None
        )
        credentials = Credentials(access_key, secret_key)
        self._api = S3Api(bucket, endpoint, region, credentials, deleter, patience or Patience())

    def begin(self, key: str, estimate: int = 0) -> Upload:
        """Start one object; see `Target`."""
        return S3Upload(self._api, self._full(key), estimate, self._budget, self._spool)

    def put(self, key: str, data: bytes) -> None:
        """Write a small object at once; see `Target`."""
        self._api.put(self._full(key), bytes(data))

    def put_file(self, key: str, path: Path, sha256: str) -> None:
        """Upload a local file; see `Target`."""
        put_file(self._api, self._full(key), path, sha256, lambda: self.read(key))

    def read(self, key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """An object's bytes; see `Target`."""
        return read_object(self._api, self._full(key), start, length)

    def size(self, key: str) -> int | None:
        """Bytes of an object; see `Target`."""
        head = self._api.head(self._full(key))
        return head.size if head else None

    def list(self, prefix: str) -> Iterator[Entry]:
        """Complete objects, sorted here: not every server does; see `Target`."""
        found = (
            Entry(key, int(item["Size"]), item["LastModified"].astimezone(UTC))
            for item in self._api.objects(self._prefix + prefix)
            if is_safe(key := str(item["Key"]).removeprefix(self._prefix))
        )
        yield from sorted(found, key=lambda entry: entry.key)

    def delete(self, key: str) -> None:
        """Remove an object; see `Target`."""
        try:
            self._api.delete(self._full(key))
        except Answered as error:
            if error.code_there not in FORBIDDEN:
                raise
            raise Refused(
                "the credentials cannot delete",
                where=error.where,
                next="OPS_S3_DELETE_ACCESS_KEY and OPS_S3_DELETE_SECRET_KEY of somebody who can",
            ) from error

    def skew(self) -> float:
        """Seconds that the server's clock is ahead, from its Date header; half a second more or less."""
        before = time.monotonic()
        try:
            clock = self._api.clock(self._prefix)
        except Answered as error:
            if error.clock is None:
                raise
            clock = error.clock
        now, took = self._now(), time.monotonic() - before
        if clock is None:
            raise Failed("its answers have no Date", where=self.name)
        return clock.timestamp() + 0.5 - (now.timestamp() - took / 2)

    def room(self) -> int | None:
        """Nobody knows how much a bucket takes."""
        return None

    def sweep_uploads(self, older_than: datetime, prefix: str = "") -> builtins.list[str]:
        """Abort uploads that began, and got their last part, before a moment; see `Target`."""
        swept = []
        for pending in self._api.pending(self._prefix + prefix):
            if pending.begun < older_than and self._last_part(pending) < older_than:
                self._abort(pending)
                swept.append(pending.key.removeprefix(self._prefix))
        return sorted(swept)

    def check(self) -> None:
        """List, then begin an upload and abort it: proof that leaves nothing, not even on a locked bucket."""
        key = self._full(f".check-{token_hex(6)}")
        try:
            self._api.clock(self._prefix)
            upload, _ = self._api.create(key)
            self._abort(Pending(key, upload, self._now()))
        except Answered as error:
            raise Refused(error.what, where=self.name, next=error.next) from error
        except ValueError as error:
            raise Refused(f"cannot be used: {error}", where=self.name, next="correct OPS_S3_ENDPOINT") from error

    def _full(self, key: str) -> str:
        return self._prefix + safe_key(key)

    def _last_part(self, pending: Pending) -> datetime:
        try:
            parts = self._api.parts(pending.key, pending.upload)
        except Answered as error:
            if error.code_there != "NoSuchUpload":
                raise
            return pending.begun
        return max((part.modified for part in parts), default=pending.begun)

    def _abort(self, pending: Pending) -> None:
        try:
            self._api.abort(pending.key, pending.upload)
        except Answered as error:
            if error.code_there != "NoSuchUpload":
                raise

"""The eleven calls that we make to an S3 server, and no others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from threading import Lock
from typing import Any

from blocks.targets.s3_client import Credentials, Patience, connect
from blocks.targets.s3_errors import GONE, Answered, clock_of, in_words
from compose.stack.errors import Failed


@dataclass(frozen=True)
class Head:
    """What a server says of an object: bytes, and when it was completed."""

    size: int
    modified: datetime


@dataclass(frozen=True)
class Pending:
    """A multipart upload that nobody completed."""

    key: str
    upload: str
    begun: datetime


@dataclass(frozen=True)
class SentPart:
    """A part that a server has."""

    number: int
    size: int
    tag: str
    modified: datetime


@dataclass
class S3Api:
    """One bucket, by full keys.

    Args:
        endpoint: URL; empty for AWS itself.
        deleter: Who deletes, where that is somebody else.
    """

    bucket: str
    endpoint: str
    region: str
    credentials: Credentials = field(repr=False)
    deleter: Credentials | None = field(default=None, repr=False)
    patience: Patience = field(default_factory=Patience)
    _lock: Lock = field(default_factory=Lock, repr=False)

    @cached_property
    def _made(self) -> Any:
        return connect(self.endpoint, self.region, self.credentials, self.patience)

    @cached_property
    def _made_to_delete(self) -> Any:
        if self.deleter is None:
            return self._made
        return connect(self.endpoint, self.region, self.deleter, self.patience)

    @property
    def _client(self) -> Any:
        with self._lock:
            return self._made

    def where(self, key: str = "") -> str:
        """How people call an object here."""
        return f"s3://{self.bucket}/{key}"

    def put(self, key: str, body: Any) -> None:
        """Write an object with one call (PutObject)."""
        with in_words("write", self.where(key)):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def get(self, key: str, start: int, end: int) -> tuple[Any, int]:
        """An object's bytes from one to before another, as a stream, and the whole object's size (GetObject)."""
        with in_words("read", self.where(key)):
            answer = self._client.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={start}-{end - 1}")
        told = str(answer.get("ContentRange", ""))
        if not told.startswith(f"bytes {start}-{end - 1}/"):
            answer["Body"].close()
            raise Failed("the server does not answer with the range that it was asked for", where=self.where(key))
        return answer["Body"], int(told.rpartition("/")[2])

    def head(self, key: str) -> Head | None:
        """What is known of an object; None when there is none (HeadObject)."""
        try:
            with in_words("look at it", self.where(key)):
                answer = self._client.head_object(Bucket=self.bucket, Key=key)
        except Answered as error:
            if error.code_there in GONE:
                return None
            raise
        return Head(int(answer["ContentLength"]), answer["LastModified"])

    def objects(self, prefix: str) -> Iterator[Mapping[str, Any]]:
        """Every object whose key begins so (ListObjectsV2)."""
        with in_words("list", self.where(prefix)):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
            for page in pages:
                yield from page.get("Contents", ())

    def clock(self, prefix: str) -> datetime | None:
        """What the server's clock says, in the answer to a listing of one key (ListObjectsV2)."""
        with in_words("list", self.where(prefix)):
            return clock_of(self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, MaxKeys=1))

    def delete(self, key: str) -> None:
        """Remove an object, with the credentials that may (DeleteObject)."""
        with self._lock:
            client = self._made_to_delete
        with in_words("delete", self.where(key)):
            client.delete_object(Bucket=self.bucket, Key=key)

    def create(self, key: str) -> tuple[str, datetime | None]:
        """Begin a multipart upload: its id, and the server's clock (CreateMultipartUpload)."""
        with in_words("write", self.where(key)):
            answer = self._client.create_multipart_upload(Bucket=self.bucket, Key=key)
        return str(answer["UploadId"]), clock_of(answer)

    def send(self, key: str, upload: str, number: int, body: Any) -> str:
        """Send one part; what names it when the upload is completed (UploadPart)."""
        with in_words(f"write part {number}", self.where(key)):
            answer = self._client.upload_part(
                Bucket=self.bucket, Key=key, UploadId=upload, PartNumber=number, Body=body
            )
        return str(answer["ETag"])

    def complete(self, key: str, upload: str, tags: Mapping[int, str]) -> None:
        """Make the object of its parts (CompleteMultipartUpload)."""
        parts = [{"PartNumber": number, "ETag": tags[number]} for number in sorted(tags)]
        with in_words("complete", self.where(key)):
            self._client.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
            )

    def abort(self, key: str, upload: str) -> None:
        """Throw a multipart upload away (AbortMultipartUpload)."""
        with in_words("abort an upload", self.where(key)):
            self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)

    def pending(self, prefix: str) -> list[Pending]:
        """Multipart uploads that nobody completed (ListMultipartUploads)."""
        found: list[Pending] = []
        try:
            with in_words("list uploads", self.where(prefix)):
                pages = self._client.get_paginator("list_multipart_uploads").paginate(
                    Bucket=self.bucket, Prefix=prefix
                )
                for page in pages:
                    found += [Pending(u["Key"], u["UploadId"], u["Initiated"]) for u in page.get("Uploads", ())]
        except Answered as error:
            if error.code_there != "NoSuchUpload":  # rclone's way to say that there are none
                raise
        return [one for one in found if one.key.startswith(prefix)]

    def parts(self, key: str, upload: str) -> list[SentPart]:
        """The parts of an upload that have arrived (ListParts)."""
        with in_words("list parts", self.where(key)):
            pages = self._client.get_paginator("list_parts").paginate(Bucket=self.bucket, Key=key, UploadId=upload)
            return [
                SentPart(part["PartNumber"], part["Size"], part["ETag"], part["LastModified"])
                for page in pages
                for part in page.get("Parts", ())
            ]

"""What S3 servers answer, told in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from compose.stack.errors import Failed

BAD_CREDENTIALS = {
    "InvalidAccessKeyId": "the access key is not known there",
    "SignatureDoesNotMatch": "the secret key does not fit the access key",
    "InvalidToken": "the credentials are not valid there",
    "ExpiredToken": "the credentials have expired",
}
FORBIDDEN = {"AccessDenied", "403", "AllAccessDisabled", "MethodNotAllowed", "AccessForbidden"}
GONE = {"NoSuchKey", "404", "NotFound"}


class Answered(Failed):
    """A server's refusal, with its code.

    Args:
        code_there: As S3 names it, such as `NoSuchUpload`; empty when no answer came.
        clock: What the server's clock said.
    """

    def __init__(
        self, what: str, *, where: str, next: str = "", code_there: str = "", clock: datetime | None = None
    ) -> None:
        super().__init__(what, where=where, next=next)
        self.code_there, self.clock = code_there, clock


@contextmanager
def in_words(doing: str, where: str) -> Iterator[None]:
    """Turn what boto raises into an error that a person understands; it holds no credentials.

    Args:
        doing: What was asked for: `write`.
        where: The object or bucket.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _answered(error.response, doing, where) from error
    except BotoCoreError as error:
        raise Answered(
            f"no answer when asked to {doing} ({type(error).__name__})",
            where=where,
            next="see that the endpoint answers, then the same again",
        ) from error


def clock_of(answer: Mapping[str, Any]) -> datetime | None:
    """The server's clock as its Date header says it, in UTC; whole seconds."""
    text = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        return parsedate_to_datetime(text) if text else None
    except ValueError:
        return None


def _answered(answer: Mapping[str, Any], doing: str, where: str) -> Answered:
    code = str(answer.get("Error", {}).get("Code", ""))
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
    what, then = f"answered {code} ({status}) when asked to {doing}", ""
    if code in BAD_CREDENTIALS:
        what, then = BAD_CREDENTIALS[code], "correct OPS_S3_ACCESS_KEY and OPS_S3_SECRET_KEY"
    elif code in FORBIDDEN:
        what, then = f"the credentials may not {doing}", "give them the right, or use others"
    elif code == "NoSuchBucket":
        what, then = "there is no such bucket", "make it, or correct the target's name"
    elif code in GONE:
        what, then = "is not there", "./ops backups lists what is"
    elif code == "RequestTimeTooSkewed":
        what, then = "the clocks here and there differ too much", "timedatectl: set this machine's clock"
    return Answered(what, where=where, next=then, code_there=code, clock=clock_of(answer))

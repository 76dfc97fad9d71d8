"""What lies in the pool, as lines of JSON: the files of a component, and the blobs that hold them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PlainValidator, ValidationError

from compose.stack.backup.jsontext import dumps, loads
from compose.stack.backup.layout import checked_blob_key
from compose.stack.backup.manifest import Digest, Sha256, Strict
from compose.stack.errors import Refused

LONGEST = 1024 * 1024
"""Bytes of one line."""
LONGEST_NAME = 4096


def _name(value: object) -> str:
    """A file's name; pydantic's own check of text takes no surrogates (bytes that are no UTF-8)."""
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise ValueError(f"a name has 1 to {LONGEST_NAME} characters")
    return value


Name = Annotated[str, PlainValidator(_name)]


class Blob(Strict):
    """One blob of the pool; these lines lie in clear.

    Args:
        key: Below the pool: `clear/ab/abcd….zst`.
        stored: What lies on the target.
    """

    key: str
    stored: Digest


class Filed(Strict):
    """One file, directory or link of a component.

    Args:
        path: Below the component's place; bytes that are no UTF-8 as Python's surrogates.
        mode: Permission bits.
        mtime: Nanoseconds since 1970.
        size: Plain bytes of a file.
        sha256: Of the plain bytes of a file.
        blob: Key of the blob with its bytes, below the pool.
        link: What a symbolic link points to, or the first name of a hard link.
        xattrs: Extended attributes, ACLs among them; values as Latin-1 text.
    """

    path: Name
    kind: Literal["file", "directory", "symlink", "hardlink"] = "file"
    mode: int = Field(default=0o644, ge=0, le=0o7777)
    uid: int = Field(default=0, ge=0)
    gid: int = Field(default=0, ge=0)
    mtime: int = 0
    size: int = Field(default=0, ge=0)
    sha256: Sha256 | None = None
    blob: str | None = None
    link: Name | None = None
    xattrs: dict[str, str] | None = None


def line_of(value: Blob | Filed) -> bytes:
    """One line, with its end."""
    return dumps(value.model_dump(exclude_none=True, exclude_defaults=True) | _kept(value))


def parse_blob(line: bytes) -> Blob:
    """Read one line about a blob.

    Raises:
        Refused: It is none, or its key leads elsewhere.
    """
    try:
        blob = Blob.model_validate(loads(line, LONGEST, "list of blobs"))
    except ValidationError as error:
        raise Refused(f"the list of blobs is not as it should be: {error.errors()[0]['msg']}") from None
    checked_blob_key(blob.key)
    return blob


def parse_filed(line: bytes) -> Filed:
    """Read one line about a file.

    Raises:
        Refused: It is none, or its path leads out of the component's place.
    """
    raw = loads(line, LONGEST, "list of files")
    try:
        filed = Filed.model_validate(raw)
    except ValidationError as error:
        raise Refused(f"the list of files is not as it should be: {error.errors()[0]['msg']}") from None
    if not inside(filed.path):
        raise Refused(f"{filed.path[:80]!r} leads out of the component's place", next="do not use it")
    if (filed.kind == "file") != (filed.blob is not None and filed.sha256 is not None):
        raise Refused(f"{filed.path[:80]!r} has no blob, or has one and is no file", next="do not use it")
    if filed.blob is not None:
        checked_blob_key(filed.blob)
    if filed.kind == "hardlink" and not inside(filed.link or ""):
        raise Refused(f"{filed.path[:80]!r} is a link that leads out", next="do not use it")
    return filed


def inside(path: str) -> bool:
    """True for a relative path that stays below where it begins."""
    parts = path.split("/")
    return bool(path) and "\0" not in path and not {"", ".."} & set(parts)


def _kept(value: Blob | Filed) -> dict[str, object]:
    return {"kind": value.kind} if isinstance(value, Filed) else {}

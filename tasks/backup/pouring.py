"""Writing a stream into a file of the backup, read along by the check of its content."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from compose.stack.backup.manifest import FileRecord, Level
from compose.stack.errors import Failed
from tasks.backup.procedure import Check, Saving, Sink


def pour(saving: Saving, chunks: Iterable[bytes], sink: Sink, check: Check | None = None) -> int:
    """Write all of a stream; the plain bytes that were written.

    Args:
        check: Reads along; abandoned here when the stream breaks off, finished by the caller.
    """
    written = 0
    try:
        for chunk in chunks:
            sink.write(chunk)
            if check is not None:
                check.write(chunk)
            written += len(chunk)
            saving.progress(len(chunk))
    except BaseException:
        if check is not None:
            check.abandon()
        raise
    return written


def reached(saving: Saving, found: dict[str, Any]) -> tuple[Level, tuple[str, ...]]:
    """The level that the checks on the way reached, and notes on what they could not tell.

    Args:
        found: What they found; what they could not tell is taken out of it.
    """
    unproven = tuple(f"not read by its own tool: {what}" for what in found.pop("unproven", ()))
    return ("content" if saving.verify == "content" and not unproven else "none"), unproven


def save_bytes(saving: Saving, path: str, data: bytes, **how: Any) -> FileRecord:
    """Write a small file as a whole."""
    with saving.files.file(path, estimate=len(data), **how) as sink:
        pour(saving, (data,), sink)
    return stored(sink, path)


def stored(sink: Sink, path: str) -> FileRecord:
    """What was stored of a file, after its end.

    Raises:
        Failed: Nothing was.
    """
    if sink.record is None:
        raise Failed("nothing was stored", where=path)
    return sink.record

"""Writing a tree as a tar stream, with the index of what is in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from blocks.backup.trees import Changed, Content, Tree
from compose.stack.backup.archive_format import END, Entry, Totals, header, index_line, padding
from compose.stack.errors import Failed

Check = Callable[[], None]


def archive(
    trees: Iterable[Tree], index: BinaryIO, totals: Totals, *, live: bool = False, check: Check = lambda: None
) -> Iterator[bytes]:
    """The tar stream of one tree, or of several laid over each other.

    Args:
        index: Gets a line per entry.
        totals: Counted into.
        live: Files may be written meanwhile: they are noted, not refused. Each keeps the size it had at first.
        check: Asked now and then; raises to give up.

    Raises:
        Failed: A file changed while it was read although nothing should write it.
    """
    for tree in trees:
        for entry, content in tree.walk():
            check()
            yield header(entry)
            sha256 = ""
            if content is not None:
                digest = hashlib.sha256()
                for piece in _bytes(entry, content, totals, live=live):
                    digest.update(piece)
                    yield piece
                sha256 = digest.hexdigest()
                if fill := padding(entry.size):
                    yield fill
            line = index_line(entry, sha256)
            index.write(line)
            totals.add(entry, line)
        totals.skipped += len(tree.skipped)
    yield END


def _bytes(entry: Entry, content: Content, totals: Totals, *, live: bool) -> Iterator[bytes]:
    """Exactly as many bytes as the header promised."""
    left = entry.size
    try:
        for piece in content():
            left -= len(piece)
            yield piece
    except Changed:
        if not live:
            what = "was written while it was read, although nothing should: who else writes it?"
            raise Failed(what, where=entry.path, next="stop what writes it, or say x-ops.backup.live") from None
        totals.changed.append(entry.path)
    while left > 0:
        piece = bytes(min(left, 1024 * 1024))
        left -= len(piece)
        yield piece

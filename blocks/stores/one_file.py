"""One file of a running container as a stream: from the engine's archive, or by cat where that sees nothing."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator

from blocks.container_files import Files
from blocks.engine import GONE, Engine, talking
from blocks.exec_stream import reading
from compose.stack.errors import Failed

BLOCK = 512
PORTION = 2 * 1024 * 1024
PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


def read_file(engine: Engine, container: str, path: str) -> Iterator[bytes]:
    """A regular file's bytes; the number of them is what its header says.

    A file on a tmpfs, or behind a link, is not in the archive: it is read by a command in the container.

    Raises:
        Failed: It is not there, or is cut short.
    """
    with talking():
        try:
            chunks, _ = engine.client.api.get_archive(container, path, chunk_size=PORTION)
        except GONE:
            chunks = None
    if chunks is not None:
        try:
            rest, header = _header(chunks)
            if header.type in PLAIN:
                yield from _contents(rest, chunks, header.size, path)
                return
        finally:
            chunks.close()
    yield from _by_command(engine, container, path)


def file_size(engine: Engine, container: str, path: str) -> int:
    """A regular file's bytes; 0 where the engine does not see it, as on a tmpfs."""
    with talking():
        found = Files(engine.client.api, container).look(path)
    return int(found["size"]) if found else 0


def _header(chunks: Iterator[bytes]) -> tuple[bytes, tarfile.TarInfo]:
    """What follows the file's own header, and the header; extended ones before it are read over."""
    data = b""
    size: int | None = None
    while True:
        while len(data) < BLOCK:
            data += next(chunks)
        header = tarfile.TarInfo.frombuf(data[:BLOCK], "utf-8", "surrogateescape")
        data = data[BLOCK:]
        if header.type not in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
            header.size = header.size if size is None else size
            return data, header
        padded = -(-header.size // BLOCK) * BLOCK
        while len(data) < padded:
            data += next(chunks)
        size = _pax_size(data[: header.size]) or size
        data = data[padded:]


def _pax_size(record: bytes) -> int | None:
    for line in record.split(b"\n"):
        key, _, value = line.partition(b" ")[2].partition(b"=")
        if key == b"size" and value.isdigit():
            return int(value)
    return None


def _contents(rest: bytes, chunks: Iterator[bytes], size: int, path: str) -> Iterator[bytes]:
    left, data = size, rest
    while left:
        if data:
            yield data[:left]
            left -= min(left, len(data))
        data = next(chunks, b"")
        if not data and left:
            raise Failed(f"cut short: {left} of {size} bytes are missing", where=path)


def _by_command(engine: Engine, container: str, path: str) -> Iterator[bytes]:
    with reading(engine, container, ("cat", path)) as running:
        yield from running
        running.done()

"""Plain bytes to stored bytes: hashed, compressed, encrypted, hashed again, in one pass and bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import zstandard

from blocks.backup.sealing import Seal
from compose.stack.backup.manifest import Digest, Encoding

LEVEL = 3
BIG = 64 * 1024 * 1024
"""Bytes from which on compression takes two threads."""
JOB = 1024 * 1024
"""Bytes of a thread's job: with zstd's own, finished jobs of what does not shrink pile up in memory."""
BLOCK = 256 * 1024
"""Bytes that are handed on at once."""


class Counted:
    """Hashes and counts what passes.

    Args:
        out: Takes the bytes afterwards.
    """

    def __init__(self, out: Callable[[bytes], object]) -> None:
        self._hash, self._bytes, self._out = hashlib.sha256(), 0, out

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._hash.update(data)
        self._bytes += len(data)
        self._out(data)

    @property
    def digest(self) -> Digest:
        """Of everything so far."""
        return Digest(sha256=self._hash.hexdigest(), bytes=self._bytes)


class Gathered:
    """Hands bytes on in blocks, however small they come.

    Args:
        out: Takes the blocks.
        block: Bytes; what comes larger is handed on as it is.
    """

    def __init__(self, out: Callable[[bytes], object], block: int = BLOCK) -> None:
        self._out, self._block, self._waiting, self._size = out, block, list[bytes](), 0

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        if not data:
            return
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= self._block:
            self.end()

    def end(self) -> None:
        """Hand on what waits."""
        waiting, self._waiting, self._size = self._waiting, [], 0
        if waiting:
            self._out(waiting[0] if len(waiting) == 1 else b"".join(waiting))


class Compressed:
    """One zstd frame with a checksum of its content.

    Args:
        out: Takes the compressed bytes.
        estimate: Plain bytes, 0 where unknown.
    """

    def __init__(self, out: Callable[[bytes], object], estimate: int = 0) -> None:
        threads = 2 if estimate >= BIG else 0
        how = {"threads": threads, "job_size": JOB} if threads else {}
        parameters = zstandard.ZstdCompressionParameters.from_level(LEVEL, write_checksum=1, **how)
        compressor = zstandard.ZstdCompressor(compression_params=parameters)
        self._frame, self._out = compressor.compressobj(), out

    def write(self, data: bytes) -> None:
        """Take the next plain bytes."""
        found = self._frame.compress(data)
        if found:
            self._out(found)

    def end(self) -> None:
        """Close the frame."""
        self._out(self._frame.flush())


class Encoder:
    """All of it: plain bytes in, stored bytes out.

    Args:
        out: Takes the stored bytes; on another thread where they are encrypted.
        encodings: In order, see `FileRecord`.
        recipients: Who can open it, where `age` is among them.
        estimate: Plain bytes, 0 where unknown.
    """

    def __init__(
        self,
        out: Callable[[bytes], object],
        encodings: tuple[Encoding, ...],
        recipients: tuple[str, ...] = (),
        estimate: int = 0,
    ) -> None:
        self._stored = Counted(out)
        self._last = Gathered(self._stored.write)
        step = self._last.write
        self._seal = Seal(recipients, step) if "age" in encodings else None
        step = self._seal.write if self._seal else step
        self._frame = Compressed(step, estimate) if "zstd" in encodings else None
        step = self._frame.write if self._frame else step
        self._plain = Counted(step) if encodings else self._stored  # the same bytes are hashed once
        self._first = Gathered(self._plain.write if encodings else step)

    def write(self, data: bytes | memoryview) -> None:
        """Take the next plain bytes; the caller may use the buffer again afterwards."""
        self._first.write(bytes(data))

    def end(self) -> tuple[Digest, Digest]:
        """Hand everything on; what went in and what came out."""
        self._first.end()
        if self._frame:
            self._frame.end()
        if self._seal:
            self._seal.end()
        self._last.end()
        return self._plain.digest, self._stored.digest

    def abort(self) -> None:
        """Give up; never raises."""
        if self._seal:
            self._seal.abort()

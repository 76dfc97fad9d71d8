"""Encodings: there and back, in pieces of any size, with broken streams, and beside the standard tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from blocks.backup.identities import NOBODY, Identities, parse_identities, read_identities
from blocks.backup.pipe import Broken, Pipe
from blocks.backup.reader import checked, decoded
from blocks.backup.sealing import Seal, open_bytes, opened, parse_recipients, seal_bytes
from blocks.backup.streams import Encoder
from compose.stack.backup.manifest import Digest, Encoding
from compose.stack.errors import Failed, Refused
from tests.backup_lab import new_identity

KEYS = new_identity()
EVERY: list[tuple[Encoding, ...]] = [(), ("zstd",), ("age",), ("zstd", "age")]
age = pytest.mark.skipif(not shutil.which("age"), reason="the age program is not here")


def encoded(
    pieces: list[bytes], encodings: tuple[Encoding, ...], keys: Identities = KEYS
) -> tuple[bytes, Digest, Digest]:
    """Stored bytes, and both digests."""
    out = bytearray()
    encoder = Encoder(out.extend, encodings, keys.recipients)
    for piece in pieces:
        encoder.write(piece)
    plain, stored = encoder.end()
    return bytes(out), plain, stored


def pieces_of(data: bytes, size: int = 7000) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def plain_of(stored: bytes, encodings: tuple[Encoding, ...], plain: Digest, keys: Identities = KEYS) -> bytes:
    return b"".join(decoded(pieces_of(stored), encodings, plain, keys, where="a file"))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.binary(max_size=5000), max_size=30), st.sampled_from(EVERY))
def test_what_went_in_comes_out(pieces: list[bytes], encodings: tuple[Encoding, ...]) -> None:
    """Whatever the pieces are, also none at all."""
    stored, plain, digest = encoded(pieces, encodings)
    assert (plain.bytes, digest.bytes) == (len(b"".join(pieces)), len(stored))
    assert plain_of(stored, encodings, plain) == b"".join(pieces)


@pytest.mark.parametrize("encodings", EVERY)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a_flipped_bit_is_seen(encodings: tuple[Encoding, ...], where: str) -> None:
    """In the first, a middle, or the last block."""
    stored, plain, _ = encoded([os.urandom(300_000)], encodings)
    at = {"first": 10, "middle": len(stored) // 2, "last": len(stored) - 3}[where]
    spoiled = stored[:at] + bytes([stored[at] ^ 4]) + stored[at + 1 :]
    with pytest.raises(Failed, match="a file"):
        plain_of(spoiled, encodings, plain)


@pytest.mark.parametrize("encodings", EVERY)
@pytest.mark.parametrize("cut", [0, 1, 20, 100_000])
def test_a_truncated_file_is_seen(encodings: tuple[Encoding, ...], cut: int) -> None:
    """Whatever is missing at its end; and what was added there."""
    stored, plain, digest = encoded([os.urandom(200_000)], encodings)
    for spoiled in (stored[:-cut] if cut else b"", stored + b"x" * max(1, cut)):
        chunks = checked(pieces_of(spoiled), digest, "stored", where="a file")
        with pytest.raises(Failed):
            list(decoded(chunks, encodings, plain, KEYS, where="a file"))


def test_another_key_opens_nothing() -> None:
    """The error says that the key is the reason; without any key it is refused."""
    stored, plain, _ = encoded([b"secret"], ("age",))
    with pytest.raises(Failed, match="none of the keys"):
        plain_of(stored, ("age",), plain, new_identity())
    with pytest.raises(Refused, match="a key is needed"):
        plain_of(stored, ("age",), plain, NOBODY)


def test_a_bomb_is_cut_off_where_the_manifest_says() -> None:
    """A frame that holds more than recorded stops there, and no buffer holds all of it."""
    bomb = zstandard.ZstdCompressor().compress(bytes(2**28))
    plain = Digest(sha256="0" * 64, bytes=1000)
    sizes = [0]
    chunks = decoded(iter([bomb]), ("zstd",), plain, NOBODY, where="a file")
    with pytest.raises(Failed, match="more than the 1000 plain bytes"):
        sizes.extend(map(len, chunks))
    assert max(sizes) <= 1024**2


def test_a_frame_that_wants_a_huge_window_is_refused() -> None:
    """Its header alone could claim gigabytes of memory."""
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    stored = frame.compress(os.urandom(1000)) + frame.flush()
    with pytest.raises(Failed, match="cannot be decompressed"):
        plain_of(stored, ("zstd",), Digest(sha256="0" * 64, bytes=1000))


@pytest.mark.parametrize("encodings", [("age",), ("zstd", "age")])
def test_an_error_further_down_reaches_the_writer(encodings: tuple[Encoding, ...]) -> None:
    """The error itself, not a text of it, and nobody waits for ever."""

    def full(_: bytes) -> None:
        raise Failed("no space left", where="the disk")

    encoder = Encoder(full, encodings, KEYS.recipients)
    with pytest.raises(Failed, match="no space left"):
        [encoder.write(os.urandom(1024**2)) for _ in range(100)]
    encoder.abort()


def test_an_error_of_the_source_reaches_the_reader() -> None:
    """As it was raised, through the thread that decrypts."""
    stored, _, _ = encoded([os.urandom(500_000)], ("age",))

    def broken() -> Iterator[bytes]:
        yield stored[:200_000]
        raise Failed("the target is gone")

    with pytest.raises(Failed, match="the target is gone"):
        for _ in opened(broken(), KEYS, where="a file"):
            pass


def test_nothing_runs_on_when_a_reader_stops_early() -> None:
    """Or when a writer is aborted."""
    before = threading.active_count()
    stored, plain, _ = encoded([os.urandom(5_000_000)], ("age",))
    chunks = decoded(pieces_of(stored), ("age",), plain, KEYS, where="a file")
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    seal = Seal(KEYS.recipients, lambda _: None)
    seal.write(b"x")
    seal.abort()
    assert threading.active_count() == before


def test_a_pipe_keeps_no_more_than_its_limit() -> None:
    """A writer waits for the reader, and is told when it has gone."""
    pipe = Pipe(limit=10)
    seen = []
    thread = threading.Thread(target=lambda: seen.extend(pipe.chunks()), daemon=True)
    pipe.write(b"0123456789")
    thread.start()
    for _ in range(100):
        pipe.write(b"0123456789")
    pipe.end()
    thread.join(10)
    assert b"".join(seen) == b"0123456789" * 101
    pipe.fail(ValueError())
    with pytest.raises(Broken):
        pipe.write(b"x")


@age
def test_the_age_program_opens_what_we_seal(tmp_path: Path) -> None:
    """And we open what it seals."""
    key = tmp_path / "key.txt"
    subprocess.run(("age-keygen", "-o", str(key)), check=True, capture_output=True)
    keys = read_identities(str(key))
    data = os.urandom(300_000)
    sealed = seal_bytes(data, keys.recipients)
    told = subprocess.run(("age", "-d", "-i", str(key)), input=sealed, check=True, capture_output=True)
    assert told.stdout == data
    other = ("age", "-r", keys.recipients[0])
    theirs = subprocess.run(other, input=data, check=True, capture_output=True).stdout
    assert open_bytes(theirs, keys, where="x") == data


@age
@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not here")
def test_ssh_keys_are_recipients_too(tmp_path: Path) -> None:
    """An ed25519 key of OpenSSH seals and opens, here and with the age program."""
    key = tmp_path / "id"
    subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)), check=True)
    recipients = parse_recipients((tmp_path / "id.pub").read_text())
    sealed = seal_bytes(b"hello", recipients)
    assert open_bytes(sealed, read_identities(str(key)), where="x") == b"hello"
    told = subprocess.run(("age", "-d", "-i", str(key)), input=sealed, check=True, capture_output=True)
    assert told.stdout == b"hello"


@pytest.mark.skipif(not shutil.which("zstd"), reason="the zstd program is not here")
def test_the_zstd_program_opens_what_we_compress() -> None:
    """With a checksum of the content, which it checks."""
    data = os.urandom(1000) * 500
    stored, _, _ = encoded([data], ("zstd",))
    assert subprocess.run(("zstd", "-dc"), input=stored, check=True, capture_output=True).stdout == data
    assert zstandard.get_frame_parameters(stored).has_checksum


def test_recipients_are_read_from_text() -> None:
    """Lines, commas, comments; sorted, each once."""
    one, other = sorted((KEYS.recipients[0], new_identity().recipients[0]))
    assert parse_recipients(f"# us\n{other}, {one}\n\n{one}\n") == (one, other)
    assert parse_recipients("") == ()


@pytest.mark.parametrize("text", ["age1xyz", "nobody", "ssh-ed25519 AAAA", "age1 x", "AGE-SECRET-KEY-1QQQQ"])
def test_recipients_that_are_none_are_refused(text: str) -> None:
    """A typing error must not be found out at the restore; a secret key is not shown."""
    with pytest.raises(Refused) as told:
        parse_recipients(text)
    assert "QQQQ" not in str(told.value)


def test_keys_are_read_from_a_file_or_a_descriptor(tmp_path: Path) -> None:
    """The descriptor is left open for who gave it; nothing of a key shows."""
    import pyrage

    secret = str(pyrage.x25519.Identity.generate())
    path = tmp_path / "key"
    path.write_text(f"# created\n{secret}\n")
    assert read_identities(str(path)).recipients == parse_identities(secret.encode(), where="x").recipients
    with path.open("rb") as file:
        keys = read_identities(f"fd:{file.fileno()}")
        assert keys.recipients
        os.fstat(file.fileno())
    assert "SECRET" not in repr(keys)


@pytest.mark.parametrize("source", ["/nowhere/key", "fd:99", "fd:x", "AGE-SECRET-KEY-1ABC"])
def test_keys_that_cannot_be_read_are_refused(source: str) -> None:
    """Missing files, closed descriptors, and a key in the place of its file's name, which is not shown."""
    with pytest.raises(Refused) as told:
        read_identities(source)
    assert "1ABC" not in str(told.value)


@pytest.mark.parametrize(
    "data", [b"", b"# nothing\n", b"hello\n", b"-----BEGIN X-----\n", b"age-encryption.org/v1\n", b"\xff"]
)
def test_files_that_hold_no_keys_are_refused(data: bytes) -> None:
    """An encrypted key file is told apart."""
    with pytest.raises(Refused):
        parse_identities(data, where="a file")


PEAK = """
import resource, sys
from blocks.backup.streams import Encoder
from blocks.backup.reader import decoded
from tests.backup_lab import new_identity
keys = new_identity()
block = bytes(range(256)) * 4096
def run(count):
    kept = []
    encoder = Encoder(lambda data: kept.append(len(data)), ("zstd", "age"), keys.recipients, count << 20)
    for _ in range(count):
        encoder.write(block)
    encoder.end()
    stored = []
    encoder = Encoder(stored.append, ("zstd", "age"), keys.recipients)
    for _ in range(count):
        encoder.write(bytes(1 << 20))
    plain, _ = encoder.end()
    return sum(map(len, decoded(iter(stored), ("zstd", "age"), plain, keys, where="x")))
run(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert run(1024) == 1 << 30
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_gibibyte_takes_no_more_memory_than_a_mebibyte() -> None:
    """Compressing, encrypting, and back again: less than 64 MiB more than at rest."""
    done = subprocess.run((sys.executable, "-c", PEAK), check=True, capture_output=True, text=True, timeout=300)
    assert int(done.stdout) < 64

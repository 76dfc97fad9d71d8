"""What a full read of a saved archive finds: its end, its headers, and the hash of every file in it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from blocks.backup.archive import archive
from blocks.backup.trees import LocalTree
from blocks.backup.volumes import TarTree
from blocks.stores.content_reads import read_tar
from compose.stack.backup.archive_format import Totals
from compose.stack.errors import Failed

HEADER = 512
Spoil = Callable[[bytes], bytes]


@pytest.fixture
def saved(tmp_path: Path) -> tuple[bytes, Path]:
    """An archive of three files of two blocks each, one with a name that is no UTF-8, and its index."""
    (tmp_path / "tree").mkdir()
    for name in (b"a", b"b", b"c\xff"):
        (Path(tmp_path / "tree") / name.decode("utf-8", "surrogateescape")).write_bytes(name * 600)
    index = tmp_path / "index.jsonl"
    with index.open("wb") as lines:
        data = b"".join(archive([LocalTree(tmp_path / "tree")], lines, Totals()))
    return data, index


def second(data: bytes) -> int:
    """Where what is before the header of the second file ends."""
    return data.index(b"a" * 600) + 1024


SPOILT: dict[str, Spoil] = {
    "cut after a file": lambda data: data[: second(data)],
    "cut within the end": lambda data: data[:-512],
    "a broken header": lambda data: data[: second(data)] + b"\xff" * HEADER + data[second(data) + HEADER :],
    "an error after a file": lambda data: data[: second(data)] + b'{"message":"unexpected EOF"}',
    "something after the end": lambda data: data + b"more",
}


def chunks(data: bytes) -> Iterator[bytes]:
    yield from (data[at : at + 700] for at in range(0, len(data), 700))


def walked(data: bytes) -> int:
    """Read it as the engine's stream; how many entries it has."""
    return len([list(content() if content else ()) for _, content in TarTree(chunks(data)).walk()])


def test_a_whole_archive_is_read(saved: tuple[bytes, Path]) -> None:
    """With its index, and with more zeros at its end, as tar itself fills its records."""
    data, index = saved
    assert read_tar(io.BytesIO(data), index)["files"] == 3
    assert read_tar(io.BytesIO(data + bytes(8192)), index)["files"] == 3
    assert walked(data) == 4


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_an_archive_without_its_end_is_found(saved: tuple[bytes, Path], spoil: Spoil) -> None:
    """Python's reader takes all of these for whole; ours does not, nor the engine's stream."""
    data, _ = saved
    with pytest.raises(Failed, match=r"no end|cut short"):
        read_tar(io.BytesIO(spoil(data)))
    with pytest.raises(Failed, match="no end"):
        walked(spoil(data))


def test_every_file_is_the_one_that_the_index_lists(saved: tuple[bytes, Path]) -> None:
    """Another byte, a file less or a file more is found."""
    data, index = saved
    with pytest.raises(Failed, match="not as its index lists them, the first is 'b'"):
        read_tar(io.BytesIO(data.replace(b"b" * 600, b"b" * 599 + b"x")), index)
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(Failed, match="not as its index lists them"):
        read_tar(io.BytesIO(data), index)
    index.write_bytes(b"".join([*lines, lines[-1]]))
    with pytest.raises(Failed, match="not as its index lists them"):
        read_tar(io.BytesIO(data), index)

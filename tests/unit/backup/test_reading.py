"""Manifests and lists that anybody may have written."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from compose.stack.backup.component import Kind, Manner
from compose.stack.backup.ids import checked_id
from compose.stack.backup.jsontext import loads
from compose.stack.backup.layout import blob_key, checked_blob_key, checked_stack_id, recipient_set
from compose.stack.backup.listing import Blob, Filed, inside, line_of, parse_blob, parse_filed
from compose.stack.backup.manifest import ComponentRecord, Digest, FileRecord, Manifest
from compose.stack.backup.reading import LARGEST, bomb, manifest_bytes, parse_manifest
from compose.stack.errors import Refused

AT = datetime(2026, 11, 24, tzinfo=UTC)
ID, STACK = "20261124T000000Z-0123abcd", "light-0123abcd"
ONE, TWO = Digest(sha256="a" * 64, bytes=100), Digest(sha256="b" * 64, bytes=50)


def file(path: str, **change: Any) -> FileRecord:
    how: dict[str, Any] = {"plain": ONE, "stored": TWO, "encodings": ("zstd",)} | change
    return FileRecord(path=path, **how)


def manifest(*files: FileRecord, **change: Any) -> Manifest:
    component = ComponentRecord(
        name="postgres", kind=Kind.POSTGRES, manner=Manner.ONLINE, began=AT, ended=AT, files=files
    )
    how: dict[str, Any] = {
        "id": ID, "stack": "light", "stack_id": STACK, "project": "p", "host": "h", "product": "1", "began": AT,
        "ended": AT, "components": (component,),
    }  # fmt: skip
    return Manifest(**how | change)


def changed(**change: Any) -> bytes:
    raw = json.loads(manifest_bytes(manifest(file("a.zst")))) | change
    return json.dumps(raw).encode()


def test_a_manifest_is_read_as_it_was_written() -> None:
    """Through its bytes and back."""
    one = manifest(file("postgres/app.dump.zst"), file("b/c.age", encodings=("age",), plain=TWO, stored=ONE))
    one = one.model_copy(update={"recipients": ("age1x",)})
    assert parse_manifest(manifest_bytes(one)) == one


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd.zst", "/etc/passwd.zst", "a/../b.zst", "a//b.zst", "./a.zst", "a\nb.zst", "a\\b.zst",
        "a\0.zst",
        "manifest.json", "manifest.json/x.zst", "manifest.json.sig", "RUNBOOK.md", "records/x.zst", "a\x1b[2J.zst",
        "x" * 600 + ".zst", "a.zst/",
    ],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    """Traversal, absolute, control characters, and the names that the format itself has."""
    with pytest.raises(Refused):
        parse_manifest(manifest_bytes(manifest(file(path))))


@pytest.mark.parametrize(
    "files",
    [
        (file("a.zst"), file("a.zst")),
        (file("a.zst"), file("a.zst/b.zst")),
        (file("a.txt"),),
        (file("a.age.zst", encodings=("age", "zstd")),),
        (file("a.zst.zst", encodings=("zstd", "zstd")),),
        (file("a.zst.age", encodings=("zstd", "age")),),
        (file("a.zst", secret=True),),
        (file("a.zst", plain=Digest(sha256="a" * 64, bytes=50 * 40_000 + 2_000_000)),),
        (file("a", encodings=()),),
    ],
    ids=[
        "twice",
        "file and directory",
        "ending",
        "order",
        "repeated",
        "to nobody",
        "secret",
        "bomb",
        "not itself",
    ],
)
def test_files_that_cannot_be_are_refused(files: tuple[FileRecord, ...]) -> None:
    """What no backup of ours would have."""
    with pytest.raises(Refused):
        parse_manifest(manifest_bytes(manifest(*files)))


FULLWIDTH = "\uff120261124T000000Z-0123abcd"
BAD_IDS = ["../x", "x\n", "20261124T000000Z-0123abcd\n", "20261399T000000Z-0123abcd", "x/y", "", FULLWIDTH]


@pytest.mark.parametrize("name", BAD_IDS)
def test_ids_that_are_none_are_refused(name: str) -> None:
    """Slashes, line ends, days that no year has, and digits of other scripts."""
    with pytest.raises(Refused):
        checked_id(name)
    with pytest.raises(Refused):
        parse_manifest(changed(id=name))
    with pytest.raises(Refused):
        checked_stack_id(name)


@pytest.mark.parametrize("schema", [0, 2, "1", None, True, 1.5, [1], 10**30])
def test_an_unknown_schema_is_refused_by_name(schema: object) -> None:
    """The error says which it is and which we read."""
    with pytest.raises(Refused, match="this version reads 1"):
        parse_manifest(changed(schema=schema))


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 200_000, b'{"a":' * 100_000, b'{"schema":1,"schema":1}',
        b'{"schema": NaN}', b'{"schema":' + b"9" * 5000 + b"}", b'{"schema": 1}',
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    """Nesting, keys twice, numbers without end, no JSON at all."""
    with pytest.raises(Refused):
        parse_manifest(data)


def test_a_manifest_without_end_is_refused_unread() -> None:
    """More than 64 MiB."""
    with pytest.raises(Refused, match="more than"):
        parse_manifest(b" " * (LARGEST + 1))


def test_a_deep_fingerprint_is_refused() -> None:
    """Depth counts where any content is allowed too."""
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    with pytest.raises(Refused, match="deep"):
        loads(json.dumps(deep).encode(), 10_000, "manifest")


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing else comes out of any input."""
    for read in (parse_manifest, parse_blob, parse_filed):
        with pytest.raises(Refused):
            read(data)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5),
    st.data(),
)
def test_any_value_in_any_place_is_read_or_refused(value: Any, data: st.DataObject) -> None:
    """One field of a good manifest replaced by anything."""
    raw = json.loads(manifest_bytes(manifest(file("a.zst"))))
    raw[data.draw(st.sampled_from(sorted(raw)))] = value
    with contextlib.suppress(Refused):
        parse_manifest(json.dumps(raw).encode())


def test_zeros_are_no_bomb() -> None:
    """zstd packs a gibibyte of zeros into 32 KiB; ten times as much in as few bytes is none of its."""
    zeros = Digest(sha256="a" * 64, bytes=2**30)
    assert not bomb(file("a.zst", plain=zeros, stored=Digest(sha256="b" * 64, bytes=32_790)))
    assert bomb(file("a.zst", plain=zeros, stored=Digest(sha256="b" * 64, bytes=3_279)))


paths = st.text(st.characters(exclude_categories=["Cc"]), min_size=1, max_size=20)


@given(paths)
@example("caf\udce9")
def test_lines_of_files_are_read_as_they_were_written(path: str) -> None:
    """Any name that stays inside, also one that is no UTF-8."""
    key = blob_key("clear", "c" * 64, ("zstd",))
    one = Filed(path=path, sha256="c" * 64, size=3, blob=key, mode=0o600, uid=70, mtime=10**18)
    if inside(path):
        assert parse_filed(line_of(one)) == one
    else:
        with pytest.raises(Refused):
            parse_filed(line_of(one))


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "a\0b", "", "a//b", ".."])
def test_lines_that_lead_out_are_refused(path: str) -> None:
    """A volume's files stay in the volume; so do its links."""
    good: dict[str, Any] = {"path": "a", "kind": "directory"}
    assert parse_filed(json.dumps(good).encode())
    with pytest.raises(Refused):
        parse_filed(json.dumps(good | {"path": path}).encode())
    with pytest.raises(Refused):
        parse_filed(json.dumps(good | {"kind": "hardlink", "link": path}).encode())


@pytest.mark.parametrize(
    "key",
    [
        f"clear/aa/{'b' * 64}", f"clear/bb/{'b' * 64}.age", f"{'0' * 16}/bb/{'b' * 64}.zst", f"../bb/{'b' * 64}",
        f"clear/bb/{'b' * 63}", f"clear/bb/{'b' * 64}\n", f"clear/bb/{'b' * 64}.age.zst",
    ],
)  # fmt: skip
def test_keys_that_are_no_blobs_are_refused(key: str) -> None:
    """The directory has to fit the name, the ending has to fit the set."""
    with pytest.raises(Refused):
        checked_blob_key(key)
    with pytest.raises(Refused):
        parse_blob(line_of(Blob(key=key, stored=ONE)))


@given(st.sampled_from([(), ("zstd",), ("age",), ("zstd", "age")]), st.binary(min_size=32, max_size=32))
def test_a_blobs_key_tells_what_it_is(encodings: tuple[Any, ...], digest: bytes) -> None:
    """Address and encodings come back from the key, with a nonce or without."""
    blobs = recipient_set(("age1x",)) if "age" in encodings else "clear"
    for nonce in ("", "00ff00ff"):
        assert checked_blob_key(blob_key(blobs, digest.hex(), encodings, nonce)) == (digest.hex(), encodings)


def test_the_set_of_recipients_has_one_name() -> None:
    """Whatever their order."""
    assert recipient_set(("b", "a", "a")) == recipient_set(("a", "b")) != recipient_set(("a",))
    assert recipient_set(()) == "clear"

"""Reading a manifest that anybody may have written."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from pydantic import ValidationError

from compose.stack.backup.ids import checked_id
from compose.stack.backup.jsontext import loads
from compose.stack.backup.keys import safe_key
from compose.stack.backup.layout import ENDINGS, checked_stack_id
from compose.stack.backup.manifest import MANIFEST, RUNBOOK, SCHEMA, SIGNATURE, FileRecord, Manifest
from compose.stack.errors import Refused

LARGEST = 64 * 1024 * 1024
RATIO = 40_000
"""Plain bytes that one stored byte can hold: zstd reaches 33,000 on zeros, and no more."""
SLACK = 1024 * 1024
OWN = {MANIFEST, SIGNATURE, RUNBOOK, "records"}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest; its signature was checked before.

    Args:
        data: As it lies on the target.

    Raises:
        Refused: It is no manifest of a schema that we know, or names what no backup of ours would.
    """
    raw = loads(data, LARGEST, "manifest")
    schema = raw.get("schema") if isinstance(raw, dict) else None
    if schema != SCHEMA or isinstance(schema, bool):
        raise Refused(
            f"the manifest has schema {str(schema)[:40]!r}; this version reads {SCHEMA}",
            next="use the version that wrote it, or a newer one",
        )
    try:
        manifest = Manifest.model_validate(raw)
    except ValidationError as error:
        raise Refused(f"the manifest is not as it should be: {_first(error)}", next="do not use it") from None
    problems = manifest_problems(manifest)
    if problems:
        raise Refused(f"the manifest is refused: {'; '.join(problems[:20])}", next="do not use it")
    return manifest


def manifest_bytes(manifest: Manifest) -> bytes:
    """A manifest as it is signed and stored."""
    return (manifest.model_dump_json(by_alias=True, indent=1) + "\n").encode()


def manifest_problems(manifest: Manifest) -> list[str]:
    """All that is wrong with a manifest, as sentences."""
    found = [*_refused(checked_id, manifest.id), *_refused(checked_stack_id, manifest.stack_id)]
    names = [component.name for component in manifest.components]
    found += [f"{name[:80]!r} is no component's name" for name in names if not NAME.fullmatch(name)]
    found += [f"component {name[:80]} is there twice" for name in _twice(names)]
    paths = [file.path for file in manifest.files]
    found += [f"file {path[:80]!r} is there twice" for path in _twice(paths)]
    found += _inside(paths)
    for file in manifest.files:
        found += _file_problems(file, bool(manifest.recipients))
    for component in manifest.components:
        if component.sealed is not None and component.sealed not in {file.path for file in component.files}:
            found.append(f"{component.name}: {component.sealed[:80]!r} is none of its files")
    return found


def _file_problems(file: FileRecord, sealed: bool) -> list[str]:
    found = _refused(safe_key, file.path)
    name = repr(file.path[:80])
    if file.path.split("/")[0] in OWN:
        found.append(f"{name} is no name for a store's file")
    if file.encodings not in ((), ("zstd",), ("age",), ("zstd", "age")):
        found.append(f"{name} is encoded in an unknown way")
    elif not file.path.endswith("".join(ENDINGS[encoding] for encoding in file.encodings)):
        found.append(f"{name} does not end as its encodings say")
    if "age" in file.encodings and not sealed:
        found.append(f"{name} is encrypted to nobody")
    if file.secret and "age" not in file.encodings:
        found.append(f"{name} is secret and not encrypted")
    if bomb(file):
        found.append(f"{name} claims {file.plain.bytes} bytes in {file.stored.bytes}")
    return found


def bomb(file: FileRecord) -> bool:
    """True when no encoding of ours can hold so many plain bytes in so few."""
    if "zstd" in file.encodings:
        return file.plain.bytes > file.stored.bytes * RATIO + SLACK
    if "age" in file.encodings:
        return file.plain.bytes >= file.stored.bytes
    return (file.plain.sha256, file.plain.bytes) != (file.stored.sha256, file.stored.bytes)


def _inside(paths: Iterable[str]) -> list[str]:
    """Files whose names are also directories of others."""
    known = set(paths)
    above = {str(place) for path in known for place in PurePosixPath(path).parents}
    return [f"{path[:80]!r} is a file and a directory" for path in sorted(known & above)]


def _twice(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _refused(check: Callable[[str], str], text: str) -> list[str]:
    try:
        check(text)
    except Refused as error:
        return [error.what]
    return []


def _first(error: ValidationError) -> str:
    one = error.errors()[0]
    place = ".".join(str(part)[:40] for part in one["loc"])
    return f"{place}: {one['msg']} ({error.error_count()} in all)"

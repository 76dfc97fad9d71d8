"""JSON that others wrote: bounded in size and depth, no key twice, nothing that is no JSON."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from compose.stack.errors import Refused

DEEPEST = 32


def loads(data: bytes, largest: int, what: str) -> Any:
    """Read a JSON text.

    Args:
        data: UTF-8.
        largest: Bytes that it may have.
        what: What it should be, for the error.

    Raises:
        Refused: It is too large, too deep, has a key twice, or is no JSON.
    """
    if len(data) > largest:
        raise Refused(f"the {what} has {len(data)} bytes, more than {largest}", next="do not use it")
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_constant)
    except RecursionError:
        raise Refused(f"the {what} is nested too deeply", next="do not use it") from None
    except ValueError as error:
        raise Refused(f"the {what} cannot be read: {error}", next="do not use it") from None
    if _deep(found):
        raise Refused(f"the {what} is nested more than {DEEPEST} levels deep", next="do not use it")
    return found


def dumps(value: Any) -> bytes:
    """A value as one line of JSON, keys sorted, only ASCII."""
    return (json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode("ascii")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return True

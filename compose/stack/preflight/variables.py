"""Variables in a compose file: which a text refers to, and which of them are missing.

Source: the interpolation rules of the Compose specification (`$NAME`, `${NAME}`, `:-`, `:?`, `:+` and
their forms without colon, `$$`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR = re.compile(r":?[-?+]")
BAD = "$"


@dataclass(frozen=True)
class Missing:
    """A variable that a text needs and that is not set.

    Args:
        name: Its name; `$` for a dollar sign that starts no variable.
        required: The text refuses to do without (`:?`).
        message: The author's words for that case.
    """

    name: str
    required: bool = False
    message: str = ""


@dataclass(frozen=True)
class _Part:
    text: str = ""
    name: str = ""
    operator: str = ""
    operand: str = ""


def missing(text: str, environment: Mapping[str, str]) -> Iterator[Missing]:
    """Every variable that the text needs and the environment lacks."""
    for part in _parts(text):
        if part.name == BAD:
            yield Missing(BAD, required=True)
        elif part.name:
            yield from _missing(part, environment)


def _missing(part: _Part, environment: Mapping[str, str]) -> Iterator[Missing]:
    there = _there(part, environment)
    kind = part.operator[-1:]
    if kind == "?" and not there:
        yield Missing(part.name, required=True, message=part.operand)
    elif (kind == "-" and not there) or (kind == "+" and there):
        yield from missing(part.operand, environment)
    elif not kind and not there:
        yield Missing(part.name)


def expand(text: str, environment: Mapping[str, str]) -> str:
    """The text with its variables filled in; what is missing becomes empty, as in Compose."""
    return "".join(_filled(part, environment) for part in _parts(text))


def _filled(part: _Part, environment: Mapping[str, str]) -> str:
    if not part.name or part.name == BAD:
        return part.text
    there = _there(part, environment)
    kind = part.operator[-1:]
    if kind == "+":
        return expand(part.operand, environment) if there else ""
    if kind == "-" and not there:
        return expand(part.operand, environment)
    return environment.get(part.name, "")


def _there(part: _Part, environment: Mapping[str, str]) -> bool:
    value = environment.get(part.name)
    return bool(value) if part.operator.startswith(":") else value is not None


def _parts(text: str) -> Iterator[_Part]:
    at = 0
    while at < len(text):
        dollar = text.find("$", at)
        if dollar < 0:
            yield _Part(text[at:])
            return
        if dollar > at:
            yield _Part(text[at:dollar])
        part, at = _variable(text, dollar)
        yield part


def _variable(text: str, dollar: int) -> tuple[_Part, int]:
    """The part that starts with the dollar sign, and where the text goes on."""
    after = text[dollar + 1 : dollar + 2]
    if after == "$":
        return _Part("$"), dollar + 2
    if after == "{":
        end = _closing(text, dollar + 2)
        part = _braced(text[dollar + 2 : end]) if end > 0 else None
        return (part, end + 1) if part else (_Part("$", BAD), dollar + 1)
    name = _NAME.match(text, dollar + 1)
    return (_Part(name=name.group()), name.end()) if name else (_Part("$", BAD), dollar + 1)


def _closing(text: str, start: int) -> int:
    depth = 1
    for at in range(start, len(text)):
        if text.startswith("${", at):
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if not depth:
                return at
    return -1


def _braced(inside: str) -> _Part | None:
    name = _NAME.match(inside)
    if not name:
        return None
    rest = inside[name.end() :]
    operator = _OPERATOR.match(rest)
    if rest and not operator:
        return None
    if not operator:
        return _Part(name=name.group())
    return _Part(name=name.group(), operator=operator.group(), operand=rest[operator.end() :])

"""The text of an .env file: read, and added to without touching a line that somebody wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping

from compose.stack.errors import Refused
from compose.stack.preflight.variables import expand
from compose.stack.variables import quoted

_NAME = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)[ \t]*[=:]", re.MULTILINE)
_STATEMENT = re.compile(r"[^\S\n]*(?:export[^\S\n]+)?([\w.\[\]-]+)[^\S\n]*(?:([=:])[^\S\n]*|(?=\n|\Z))")
_QUOTED = re.compile(r"""'((?:\\.|[^'\\])*)'|"((?:\\.|[^"\\])*)\"""", re.DOTALL)

_ONE_LINE = re.compile(r"^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]*)[ \t]*=[ \t]*['\"]?([^'\"\r\n]*)", re.MULTILINE)

_PLAIN = re.compile(r"[\w.,:;@%/+=-]*", re.ASCII)
"""What means the same without quotes."""


def parse(text: str, where: str = ".env", environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """The variables of an .env file as Compose reads them; the last one wins.

    `NAME=value` or `NAME: value`, quotes (over several lines too), `export` and comments; a name alone has no
    value of its own. Other variables are filled in, except between single quotes.

    Args:
        where: The file, for the error.
        environment: Variables that come before those of the file itself.

    Raises Refused with the numbers of the lines that are no assignment (not their text: it may be secret).
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    values: dict[str, str] = {}
    bad: list[str] = []
    at = 0
    while at < len(text):
        end = (text.find("\n", at) + 1 or len(text) + 1) - 1
        line = text[at:end].strip()
        found = _STATEMENT.match(text, at)
        quoted = _QUOTED.match(text, found.end()) if found and found[2] else None
        if quoted and found:
            values[found[1]] = _unquoted(quoted, {**values, **(environment or {})})
            end = quoted.end() - 1  # what follows is read as a statement of its own
        elif found and found[2] and text[found.end() : found.end() + 1] not in ("'", '"'):
            bare = text[found.end() : end].partition(" #")[0].strip()
            values[found[1]] = expand(bare, {**values, **(environment or {})})
        elif line and not line.startswith("#") and (found is None or found[2]):
            bad.append(str(text.count("\n", 0, at) + 1))
        at = end + 1
    if bad:
        raise Refused(f"cannot read line {', '.join(bad)}", where=where, next="write NAME=value, one per line")
    return values


def names(text: str) -> tuple[str, ...]:
    """The names of everything that may be an assignment, whatever Compose makes of its value."""
    return tuple(dict.fromkeys(_NAME.findall(text)))


def salvaged(text: str) -> dict[str, str]:
    """The variables of a file with lines that cannot be read, as many of them as are written on one line."""
    return dict(_ONE_LINE.findall(text))


def _unquoted(quoted: re.Match[str], known: Mapping[str, str]) -> str:
    plain, escaped = quoted.groups()
    if escaped is None:
        return plain.replace("\\'", "'")
    return expand(re.sub(r"\\(.)", _unescape, escaped, flags=re.DOTALL), known)


def _unescape(found: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t", "r": "\r", "$": "$$"}.get(found.group(1), found.group(1))


def append(text: str, values: Mapping[str, str], comment: str = "") -> str:
    """The file's text with the variables added at its end; every line that was there stays as it is."""
    if not values:
        return text
    lines = [f"# {comment}"] if comment else []
    lines += [f"{name}={value if _PLAIN.fullmatch(value) else quoted(value)}" for name, value in values.items()]
    glue = "" if not text or text.endswith("\n") else "\n"
    return text + glue + "\n".join(lines) + "\n"

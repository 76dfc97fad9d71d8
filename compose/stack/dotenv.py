"""The text of an .env file: read, and added to without touching a line that somebody wrote."""

from __future__ import annotations

import re
from collections.abc import Mapping

from compose.stack.errors import Refused

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)$")


def parse(text: str, where: str = ".env") -> dict[str, str]:
    """The variables of an .env file as Compose reads them: quotes, `export` and comments; the last one wins.

    Raises Refused with the numbers of the lines that are no assignment (not their text: it may be secret).
    """
    values: dict[str, str] = {}
    bad: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _ASSIGNMENT.match(line)
        value = _value(found.group(2).strip()) if found else None
        if found is None or value is None:
            bad.append(str(number))
        else:
            values[found.group(1)] = value
    if bad:
        raise Refused(f"cannot read line {', '.join(bad)}", where=where, next="write NAME=value, one per line")
    return values


def _value(raw: str) -> str | None:
    """The value behind the equals sign, or None when a quote is left open."""
    if raw[:1] in ("'", '"'):
        quote = raw[0]
        found = re.match(rf"{quote}((?:\\.|[^{quote}\\])*){quote}\s*(?:#.*)?$", raw)
        if not found:
            return None
        return found.group(1) if quote == "'" else re.sub(r"\\(.)", _unescape, found.group(1))
    return re.split(r"\s+#", raw, maxsplit=1)[0].strip() if not raw.startswith("#") else ""


def _unescape(found: re.Match[str]) -> str:
    return {"n": "\n", "t": "\t", "r": "\r"}.get(found.group(1), found.group(1))


def append(text: str, values: Mapping[str, str], comment: str = "") -> str:
    """The file's text with the variables added at its end; every line that was there stays as it is."""
    if not values:
        return text
    lines = [f"# {comment}"] if comment else []
    lines += [f"{name}={value}" for name, value in values.items()]
    glue = "" if not text or text.endswith("\n") else "\n"
    return text + glue + "\n".join(lines) + "\n"

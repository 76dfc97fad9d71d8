"""Keeping secrets out of everything that is shown or stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from compose.stack.service import Stack

SECRET_NAME = re.compile(
    r"(PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIAL|PRIVATE|API_?KEY|ACCESS_?KEY|_KEY$|^KEY$|_PASS$|^PASS$"
    r"|^OPS_LITERAL_|_PWD$|AUTH(?!OR)|_DSN$|COOKIE|WEBHOOK|SALT$)",
    re.IGNORECASE,
)
HIDDEN = "•••"
SHORTEST = 4


def is_secret_name(name: str) -> bool:
    """True for the name of a variable whose value must not be shown."""
    return bool(SECRET_NAME.search(name)) and not name.upper().endswith("_FILE")


@dataclass(frozen=True)
class Redactor:
    """Hides known secret values in any text.

    Args:
        values: The secrets; shorter ones than four characters are left, they would hide half of the text.
    """

    values: frozenset[str] = frozenset()

    def text(self, text: str) -> str:
        """The text with every secret replaced."""
        for value in sorted(self.values, key=len, reverse=True):
            if value in text:
                text = text.replace(value, HIDDEN)
        return text

    def rows(self, rows: Iterable[Mapping[str, Any]], names: Collection[str] = ()) -> list[dict[str, Any]]:
        """The rows of a table with every secret replaced.

        Args:
            names: Columns that are names and no text: they stay as they are.
        """
        return [{key: value if key in names else self._shown(value) for key, value in row.items()} for row in rows]

    def _shown(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._shown(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def also(self, values: Iterable[str]) -> Redactor:
        """A redactor that knows more secrets, and the forms they take in URLs and compose files."""
        found = {value.strip() for value in values}
        found |= {quote(value, safe="") for value in found} | {value.replace("$", "$$") for value in found}
        return Redactor(self.values | {value for value in found if len(value) >= SHORTEST})


def secret_values(stack: Stack, variables: Mapping[str, str]) -> frozenset[str]:
    """Every secret that a rendered stack and its variables hold."""
    found = [value for name, value in variables.items() if is_secret_name(name)]
    for service in stack.services.values():
        found += [value for key, value in service.environment.items() if value and is_secret_name(key)]
        found += [password for value in service.environment.values() if (password := url_password(value))]
    found += [str(entry.get("content")) for entry in stack.section("configs").values() if entry.get("content")]
    found += [value.replace("$$", "$") for value in found]  # rendered files write every $ twice
    return Redactor().also(found).values


def url_password(value: str | None) -> str | None:
    """The password inside a URL, if the value is one."""
    if not value or "://" not in value or "@" not in value:
        return None
    try:
        return urlsplit(value).password
    except ValueError:
        return None


def hide(value: Any, redactor: Redactor, keyed_hash: Callable[[str], str], key: str = "") -> Any:
    """A copy of a rendered structure in which secrets are keyed hashes: comparable, never readable."""
    if isinstance(value, Mapping):
        return {name: hide(item, redactor, keyed_hash, str(name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [hide(item, redactor, keyed_hash, key) for item in value]
    if isinstance(value, str) and (redactor.text(value) != value or (is_secret_name(key) and value)):
        return f"secret:{keyed_hash(value)}"
    return value

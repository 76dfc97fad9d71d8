"""The catalogue of models: what a model's digest has to be."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class CatalogueError(Exception):
    """The catalogue cannot be understood."""


@dataclass(frozen=True)
class Entry:
    """One model as the catalogue knows it; digest without `sha256:`, None where it is not recorded."""

    name: str
    source: str
    digest: str | None
    demonstration: bool


def full_name(name: str) -> str:
    """Return a model's name with its tag: `latest` where none is given."""
    return name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def bare_digest(digest: str | None) -> str | None:
    """Return a digest without its algorithm."""
    return digest.removeprefix("sha256:") if digest else None


def parse(raw: Any) -> tuple[Entry, ...]:
    """Return the catalogue's entries from its YAML; raises CatalogueError."""
    try:
        return tuple(
            Entry(
                name=full_name(str(model["name"])),
                source=str(model.get("source") or model["name"]),
                digest=bare_digest(model.get("digest")),
                demonstration=bool(model.get("demonstration", False)),
            )
            for model in raw["models"]
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise CatalogueError(f"the catalogue has no list `models` of entries with a name: {error!r}") from error


def find(entries: Sequence[Entry], name: str) -> Entry:
    """Return the entry of a model; one that the catalogue does not have has no known digest."""
    wanted = full_name(name)
    known = next((entry for entry in entries if entry.name == wanted), None)
    return known or Entry(wanted, wanted, None, False)


def matches(entry: Entry, digest: str) -> bool:
    """Tell whether a model's digest is acceptable: equal to the recorded one, or none is recorded."""
    return entry.digest is None or entry.digest == bare_digest(digest)

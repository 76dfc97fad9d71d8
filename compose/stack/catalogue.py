"""The model catalogue (`compose/models.yaml`) as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from compose.stack.errors import Refused


@dataclass(frozen=True)
class Model:
    """One model that a stack may serve.

    Args:
        name: As the model server lists it, with its tag.
        source: Where it is pulled from.
        digest: SHA-256 of its manifest in hex, without a prefix; None when it was never recorded.
        size: Bytes, None when unknown.
        demonstration: True for the stand-in that is used where no model library can be reached.
    """

    name: str
    source: str = ""
    digest: str | None = None
    size: int | None = None
    purpose: str = ""
    demonstration: bool = False


@dataclass(frozen=True)
class Catalogue:
    """All models, the preferred first."""

    models: tuple[Model, ...] = ()

    def named(self, name: str) -> Model | None:
        """The entry of one model, None when the catalogue does not know it."""
        return next((model for model in self.models if model.name == full_name(name)), None)

    def present(self, names: Iterable[str]) -> tuple[Model, ...]:
        """The catalogue's models among those that a server lists, the preferred first."""
        listed = {full_name(name) for name in names}
        return tuple(model for model in self.models if model.name in listed)


def parse_catalogue(content: Mapping[str, Any], where: str = "models.yaml") -> Catalogue:
    """Read the catalogue.

    Raises:
        Refused: Every entry without a name, and every digest that is none.
    """
    problems: list[str] = []
    models: list[Model] = []
    for index, entry in enumerate(content.get("models") or (), start=1):
        name, digest = str(entry.get("name") or ""), hex_digest(entry.get("digest"))
        if not name:
            problems.append(f"model {index} has no name")
        if digest is not None and (len(digest) != 64 or not set(digest) <= set("0123456789abcdef")):
            problems.append(f"{name or index}: its digest is no SHA-256")
        models.append(
            Model(
                full_name(name),
                str(entry.get("source") or ""),
                digest,
                int(entry["size"]) if entry.get("size") else None,
                str(entry.get("purpose") or ""),
                bool(entry.get("demonstration")),
            )
        )
    if problems:
        raise Refused("; ".join(problems), where=where, next="correct the catalogue")
    return Catalogue(tuple(models))


def full_name(name: str) -> str:
    """A model's name with its tag; `latest` where none is written."""
    return name if not name or ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def hex_digest(digest: object) -> str | None:
    """A digest without `sha256:`; None for none."""
    return str(digest).removeprefix("sha256:").lower() if digest else None

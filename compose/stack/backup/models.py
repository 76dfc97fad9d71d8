"""Models of an Ollama server as they lie on its disk: manifests that name blobs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from compose.stack.errors import Failed

LIBRARY = "registry.ollama.ai"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:-]*")
BROKEN = "ollama rm it and get it again, then the same backup again"


@dataclass(frozen=True)
class Model:
    """One model.

    Args:
        path: Of its manifest below the models directory: `manifests/HOST/NAMESPACE/MODEL/TAG`.
        blobs: Hexadecimal SHA-256 and bytes of everything that it names, each once.
        local: Made here from files: no registry has it for sure.
    """

    path: str
    blobs: tuple[tuple[str, int], ...]
    local: bool

    @property
    def host(self) -> str:
        """The registry that its name means."""
        return self.path.split("/")[1]

    @property
    def name(self) -> str:
        """As people write it: `tinyllama:latest`, `registry:5000/team/x:1`."""
        _, host, *rest, model, tag = self.path.split("/")
        space = "/".join(rest)
        prefix = (
            ""
            if host == LIBRARY and space == "library"
            else f"{space}/"
            if host == LIBRARY
            else f"{host}/{space}/"
        )
        return f"{prefix}{model}:{tag}"

    @property
    def again(self) -> str:
        """Where it can be pulled again, for people; empty where nowhere for sure."""
        return "" if self.local else self.host


def blob_path(sha256: str) -> str:
    """Of a blob below the models directory."""
    return f"blobs/sha256-{sha256}"


def parse_model(path: str, text: bytes) -> Model:
    """Read a manifest.

    Args:
        path: Below the models directory.

    Raises:
        Failed: It is none.
    """
    parts = path.split("/")
    try:
        body: dict[str, Any] = json.loads(text)
        layers = [*body["layers"], *([body["config"]] if body.get("config") else [])]
        blobs = dict(_blob(layer) for layer in layers)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failed("it is no manifest of a model", where=path, next=BROKEN) from None
    if len(parts) < 5 or not all(_PART.fullmatch(part) for part in parts):
        raise Failed("its path names no model", where=path, next=BROKEN)
    return Model(path, tuple(blobs.items()), any(layer.get("from") for layer in layers))


def _blob(layer: dict[str, Any]) -> tuple[str, int]:
    match = _DIGEST.fullmatch(layer["digest"])
    if match is None:
        raise ValueError
    return match[1], int(layer["size"])

"""Where a stack's backups went before, as this home remembers it."""

from __future__ import annotations

import json
from pathlib import Path

from blocks.files import write_private
from blocks.home import Home
from compose.stack.errors import Refused


class Places:
    """The places of the targets that were taken into use: one that is empty afterwards is not mounted, say.

    Args:
        path: The file that remembers them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of(cls, home: Home, stack: str) -> Places:
        """Those of one stack: `stacks/NAME/places.json`."""
        return cls(home.stack(stack) / "places.json")

    def __contains__(self, place: str) -> bool:
        return place in self._read()

    def add(self, place: str) -> None:
        """Remember a place."""
        known = self._read()
        if place not in known:
            write_private(self._path, json.dumps({"schema": 1, "places": sorted((*known, place))}) + "\n")

    def _read(self) -> list[str]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return [str(place) for place in found["places"]]
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as error:
            next_ = "remove it: then a target that is not mounted is taken for a new one, once"
            raise Refused(f"cannot be read: {error}", where=str(self._path), next=next_) from None

"""The targets of a home: those that a request names, else those of the settings, else a directory of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence

from blocks.home import Home
from blocks.targets.base import Target
from blocks.targets.settings import target_from
from compose.stack.errors import Refused


def configured(home: Home, wanted: Sequence[str] = (), *, beside: bool = False) -> tuple[Target, ...]:
    """The targets to use.

    Args:
        wanted: Names among those of the settings, or places; all of the settings by default.
        beside: Those of the settings too.

    Raises:
        Refused: One cannot be understood, or two have the same name.
    """
    stored = home.stored()
    told = os.environ.get("OPS_BACKUP_TARGETS") or stored.get("OPS_BACKUP_TARGETS") or ""
    if not told:
        own = home.path / "backups"
        own.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = f"local={own}"
    known = {text.partition("=")[0]: text for text in told.replace(",", " ").split() if "=" in text}
    every = told.replace(",", " ").split()
    targets = [target_from(known.get(text, text), os.environ, stored) for text in wanted or every]
    if beside:
        others = (target_from(text, os.environ, stored) for text in every)
        targets += [target for target in others if target.name not in {one.name for one in targets}]
    names = [target.name for target in targets]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Refused(f"more than one target is called {', '.join(twice)}", where="OPS_BACKUP_TARGETS")
    return tuple(targets)

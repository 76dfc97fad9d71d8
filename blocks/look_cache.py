"""What was seen in images before: an image's id names its content, so an answer never grows old."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from blocks.files import write_private
from compose.stack.preflight.images import Contents, Entry, Question

MOST = 500
"""Files kept; the oldest go first."""


def recall(place: Path, image_id: str, question: Question) -> Contents | None:
    """The answer to a question that was asked of this image before; None when part of it is new."""
    known = _read(place, image_id)
    if known is None:
        return None
    complete = question.programs <= set(known.programs) and question.places <= set(known.places)
    return known if complete and (not question.accounts or known.passwd is not None) else None


def remember(place: Path, image_id: str, found: Contents) -> None:
    """Keep an answer beside what is known already."""
    before = _read(place, image_id) or Contents()
    whole = Contents(
        {**before.programs, **found.programs},
        {**before.places, **found.places},
        before.passwd if found.passwd is None else found.passwd,
        before.group if found.group is None else found.group,
    )
    record = {
        "programs": [[*key, where] for key, where in whole.programs.items()],
        "places": {path: asdict(entry) if entry else None for path, entry in whole.places.items()},
        "passwd": whole.passwd,
        "group": whole.group,
    }
    with contextlib.suppress(OSError):  # a full disk is told elsewhere; the answer itself is not lost
        write_private(_file(place, image_id), json.dumps(record))
        _thin_out(place)


def _read(place: Path, image_id: str) -> Contents | None:
    try:
        record: dict[str, Any] = json.loads(_file(place, image_id).read_text(encoding="utf-8"))
        return Contents(
            {(name, search): where for name, search, where in record["programs"]},
            {path: Entry(**entry) if entry else None for path, entry in record["places"].items()},
            record["passwd"],
            record["group"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _file(place: Path, image_id: str) -> Path:
    return place / f"{image_id.removeprefix('sha256:')}.json"


def _thin_out(place: Path) -> None:
    files = sorted(place.glob("*.json"), key=lambda file: file.stat().st_mtime)
    for file in files[:-MOST]:
        file.unlink(missing_ok=True)

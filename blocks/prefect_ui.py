"""The files of Prefect's UI in our home: only the first UI, and only this host.

Prefect copies its UIs to where PREFECT_SERVER_UI_STATIC_DIRECTORY points. The second one asks an analytics host
and has no switch; where its directory should be stands a link to nowhere, so that it is not served. The first one
would fetch pictures from another host on one of its pages; a policy in its page makes the browser refuse that.
"""

from __future__ import annotations

import shutil
from pathlib import Path

POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "  # what its own bundle needs
    "connect-src 'self' data: blob:"
)
_HEAD = "<head>"
_META = f'{_HEAD}<meta http-equiv="Content-Security-Policy" content="{POLICY}">'


def leave_out_second(place: Path) -> None:
    """Before the server starts: keep the second UI from being served."""
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    second = place / "v2"
    if not second.is_symlink():
        if second.is_dir():
            shutil.rmtree(second)
        second.unlink(missing_ok=True)
        second.symlink_to("left-out-it-asks-an-outside-host")


def keep_to_this_host(place: Path) -> None:
    """When the server has put the first UI in its place: forbid it every other host."""
    page = place / "v1" / "index.html"
    text = page.read_text(encoding="utf-8")
    if _META not in text and _HEAD in text:
        page.write_text(text.replace(_HEAD, _META, 1), encoding="utf-8")

"""Artifacts: what a run leaves in the Prefect UI."""

from __future__ import annotations

import logging
import re
from uuid import UUID

from prefect.artifacts import create_markdown_artifact, create_progress_artifact, update_progress_artifact

from flows.presence import presence

log = logging.getLogger("ops.publish")


def artifact_key(*words: str) -> str:
    """A stable key, so that the UI shows a history: lower case letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")


def publish_markdown(key: str, text: str, description: str) -> None:
    """Leave a page in the UI; a server that is gone costs the page, not the run."""
    if presence().lost:
        return
    try:
        create_markdown_artifact(markdown=text, key=key, description=description)
    except Exception as error:  # noqa: BLE001 - whatever ails the server must not fail what was done
        log.warning("the page %s is not published: %s: %s", key, type(error).__name__, error)


class ProgressBar:
    """A bar in the UI for the run that is under way; whatever ails the server costs the bar alone.

    Args:
        what: What goes on, for its description.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._id: UUID | None = None
        self._shown = -1.0
        self._broken = False

    def __call__(self, fraction: float) -> None:
        """Show how much is done, from 0 to 1; steps below one per cent are not sent."""
        if self._broken or presence().lost or fraction - self._shown < 0.01:
            return
        self._shown = fraction
        percent = min(round(fraction * 100, 1), 100.0)
        try:
            if self._id is None:
                made = create_progress_artifact(percent, key=None, description=self._what)
                self._id = UUID(str(made))
            else:
                update_progress_artifact(self._id, percent)
        except Exception as error:  # noqa: BLE001 - whatever ails the server must not fail what is done
            self._broken = True
            log.warning("the progress is not shown: %s: %s", type(error).__name__, error)

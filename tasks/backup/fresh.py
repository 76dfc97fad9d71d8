"""The hourly look at the backups: fails, and alerts once, when the last good one is too old."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from blocks.alert import AlertWebhook
from blocks.files import write_private
from blocks.home import Home
from compose.stack.backup.freshness import Freshness
from compose.stack.backup.outcome import WorkReport
from compose.stack.backup.request import BackupsRef
from compose.stack.errors import Exit, Failed
from tasks.backup.shelves import Shelves, gather
from tasks.steps import Steps

log = logging.getLogger("ops.backup")
FILE = "freshness.json"


def check_backups(request: BackupsRef, home: Home, runner: Steps) -> WorkReport:
    """Look at every target; tell of a change once; the dashboard as rows."""
    shelves = runner.step("look at every target", lambda: gather(home, request, request.to))
    fresh = shelves.freshness
    webhook = AlertWebhook.from_settings(os.environ, home.stored())
    runner.step("tell of a change", lambda: settle(home.stack(shelves.stack), fresh, webhook))
    return WorkReport(
        what="backups",
        stack=shelves.stack,
        exit_code=Exit.DONE if fresh.good else Exit.FAILED,
        headline=fresh.sentence,
        rows=shelves.stores(),
        errors=list(fresh.reasons),
        notes=_notes(shelves),
    )


def _notes(shelves: Shelves) -> list[str]:
    said = []
    for row in shelves.target_rows():
        free = f", {row['free']} free" if row["free"] else ""
        full = f", full in {row['full in']}" if row["full in"] else ""
        said.append(f"{row['target']}: {row['backups']} backups, last {row['last']}{free}{full}")
    return [*said, *(f"expiry on {one.name} is held: {one.held}" for one in shelves.shelves if one.held)]


def settle(state: Path, fresh: Freshness, webhook: AlertWebhook | None) -> str:
    """Remember the verdict; tell when it changed or has a new reason, again when nobody took the message.

    Args:
        state: The stack's directory.
    """
    before = _read(state / FILE)
    about, waiting = sorted({one.about for one in fresh.faults}), before.get("waiting")
    changed = before.get("good") is False if fresh.good else bool(set(about) - set(before.get("about") or ()))
    news = alert_of(fresh) if changed else None
    message = news or waiting
    left = message
    if message and webhook:
        left = _sent(webhook, message)
    if news:
        log.log(logging.INFO if fresh.good else logging.ERROR, "%s", fresh.sentence)
    kept = {"good": fresh.good, "about": about, "waiting": left if webhook else None}
    write_private(state / FILE, json.dumps(kept) + "\n")
    return "told" if news else "nothing new"


def alert_of(fresh: Freshness) -> dict[str, Any]:
    """A change as the webhook gets it; `text` is what Slack and its like show."""
    sign = "✅" if fresh.good else "🔴"
    return {
        "text": f"{sign} backups of {fresh.sentence}",
        "stack": fresh.stack,
        "verdict": "fresh" if fresh.good else "stale",
        "reasons": list(fresh.reasons),
        "last": fresh.last,
        "age_seconds": round(fresh.age) if fresh.age is not None else None,
    }


def _sent(webhook: AlertWebhook, message: dict[str, Any]) -> dict[str, Any] | None:
    """None when it was taken; else the message, for the next time."""
    try:
        webhook.send(message)
    except Failed as error:
        log.warning("%s; it is sent again at the next look", error)
        return message
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}

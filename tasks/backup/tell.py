"""Telling the outside: a dead host cannot alert, so success pings an address that misses it."""

from __future__ import annotations

import logging
import os
from urllib.parse import urlsplit

import httpx

from compose.stack.backup.report import BackupReport
from tasks.work import Work

log = logging.getLogger("ops.backup")
WITHIN = 10.0


def tell_success(work: Work, report: BackupReport) -> None:
    """Ask OPS_BACKUP_PING_URL, if there is one, after a complete backup; a failure costs a warning."""
    url = os.environ.get("OPS_BACKUP_PING_URL") or work.home.stored().get("OPS_BACKUP_PING_URL") or ""
    if not url:
        return
    try:
        httpx.get(url, timeout=WITHIN, follow_redirects=False).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        host = urlsplit(url).hostname or "the address"
        log.warning("%s was not told of %s: %s", host, report.id, type(error).__name__)

"""Reading a project that Compose refuses, as far as it goes, so that all its other problems can be told too."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path

from blocks.compose_cli import ComposeCli
from compose.stack import commands
from compose.stack.commands import Project
from compose.stack.errors import OpsError
from compose.stack.preflight.repair import made_up_values, overlay
from compose.stack.preflight.sources import Sources
from compose.stack.service import Stack, parse_stack

log = logging.getLogger("ops.preflight")


def salvage(
    project: Project, sources: Sources, environment: Mapping[str, str] | None = None
) -> tuple[Stack | None, frozenset[str]]:
    """Render without asking for consistency, with made-up required variables and without missing env files.

    Returns:
        The stack, None when nothing can be made of it, and the made-up values.
    """
    values, text = made_up_values(sources), overlay(sources)
    with tempfile.TemporaryDirectory(prefix="ops-preflight-") as place:
        file = Path(place, "overlay.yml")
        file.write_text(text, encoding="utf-8")
        wanted = project.with_overlay(str(file)) if text else project
        cli = ComposeCli({**(environment or {}), **values})
        done = cli.attempt((*commands.config(wanted), "--no-consistency"))
    if done.returncode:
        return None, frozenset()
    try:
        return parse_stack(cli.understood(done.stdout)), frozenset(values.values())
    except (OpsError, AttributeError, TypeError, ValueError, KeyError) as error:
        log.debug("nothing can be made of %s: %s", project.files, error)
        return None, frozenset()

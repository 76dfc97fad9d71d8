"""Tell the Prefect server what there is: pool, blocks, automations, deployments; quick when it knows already."""

from __future__ import annotations

import logging
import os
from importlib.metadata import version
from pathlib import Path

from blocks.alert import AlertWebhook
from blocks.home import Home
from compose.stack.prefect_yaml import parse_prefect_yaml
from deployments.registration.record import Registered, state_of
from deployments.session import CLONE
from tasks.prefect_server import PrefectService
from tasks.stacks import kept_stacks

log = logging.getLogger("ops.register")


def register(home: Home, clone: Path = CLONE) -> bool:
    """Bring the server to what prefect.yaml, the settings and the kept stacks say; False when it knew all of it.

    Raises:
        Refused: prefect.yaml cannot be understood, or names a flow that does not exist.
    """
    settings = home.settings()
    webhook = AlertWebhook.from_settings(os.environ, home.stored())
    facts = {
        "stacks": kept_stacks(home),
        "webhook": home.keyed_hash(webhook.url.get_secret_value()) if webhook else "",
        "versions": [version(name) for name in ("sutazai-operations", "prefect", "prefect-docker")],
    }
    state = state_of(clone, facts)
    service = PrefectService(home, settings)
    if Registered.read(home).holds(state, service.api):
        return False
    wanted = parse_prefect_yaml((clone / "prefect.yaml").read_text(encoding="utf-8"))
    from deployments.registration.apply import apply

    paths = apply(service, wanted, kept_stacks(home), webhook.url if webhook else None)
    Registered(state, paths).write(home)
    log.debug("registered %d objects", len(paths))
    return True

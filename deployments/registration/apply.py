"""Everything that the server is told, in order."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)
from prefect.workers.process import ProcessWorker
from pydantic import SecretStr

from compose.stack.prefect_settings import POOL
from compose.stack.prefect_yaml import PrefectYaml
from compose.stack.preflight.codes import CODES, Severity
from deployments.registration import automations, blocks
from deployments.registration.runbooks import load_flow, register_deployments
from tasks.prefect_server import PrefectService, prefect_environment

ABOUT_POOL = "Processes on this machine; kept running by ./ops up."
AT_ONCE = 8
"""Runs at a time: each is a Python process of about 150 MB."""


def apply(
    service: PrefectService, wanted: PrefectYaml, stacks: Sequence[str], webhook: SecretStr | None
) -> tuple[str, ...]:
    """Bring the server to what is wanted.

    Args:
        stacks: What the forms offer.
        webhook: Where alerts go; None leaves it as it is.

    Returns:
        One API path per object, for a look whether it is still there.
    """
    told = prefect_environment(service.home, service.settings)
    updates = {
        PREFECT_API_URL: told["PREFECT_API_URL"],
        PREFECT_API_AUTH_STRING: told["PREFECT_API_AUTH_STRING"],
        PREFECT_CLIENT_MAX_RETRIES: 8,  # a young server answers 503 while SQLite is locked
    }
    with temporary_settings(updates=updates), get_client(sync_client=True) as client:
        _register_pool(client)
        engine = blocks.register_engine(service.api)
        alert = blocks.register_alert(service.api, webhook)
        blocks.remove_pictures(service.api)
        made = register_deployments(client, wanted.deployments, choices(stacks), version("sutazai-operations"))
        verify = next(d for d in wanted.deployments if load_flow(d).name == "verify")
        flow = client.read_flow_by_name(load_flow(verify).name)
        watching = automations.wanted(flow.id, alert)
        kept = automations.register_automations(client, watching)
    return (
        f"/work_pools/{POOL}",
        *(f"/block_documents/{block}" for block in (engine, alert) if block),
        *(f"/deployments/{deployment}" for deployment in made.values()),
        *(f"/automations/{automation}" for automation in kept),
    )


def choices(stacks: Sequence[str]) -> dict[str, Sequence[str]]:
    """What the forms offer, by parameter."""
    refusing = (name for name, code in CODES.items() if Severity.ERROR in (code.severity, code.own))
    return {"stack": stacks, "accept": sorted(name for name in refusing if CODES[name].acceptable)}


def _register_pool(client: SyncPrefectClient) -> None:
    """The pool that our worker serves; a person's pause is kept."""
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        made = WorkPoolCreate(name=POOL, type="process", base_job_template=template, description=ABOUT_POOL)
        client.create_work_pool(made)
    client.update_work_pool(POOL, WorkPoolUpdate(description=ABOUT_POOL, concurrency_limit=AT_ONCE))

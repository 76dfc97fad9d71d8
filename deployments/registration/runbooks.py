"""Deployments: exactly those of prefect.yaml, their forms knowing what there is to choose on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import SCHEDULE_TYPES, construct_schedule
from prefect.utilities.callables import parameter_schema

from compose.stack.errors import Refused
from compose.stack.forms import form
from compose.stack.prefect_yaml import Deployment, Schedule

OWN_TAG = "ops"
PAGE = 200


def load_flow(deployment: Deployment) -> Flow[..., Any]:
    """The flow that an entrypoint names.

    Raises:
        Refused: There is no such flow.
    """
    found = getattr(import_module(deployment.module), deployment.function, None)
    if not isinstance(found, Flow):
        raise Refused(f"{deployment.entrypoint} is no flow", where="prefect.yaml", next="correct the entrypoint")
    return found


def form_of(deployment: Deployment, choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The schema of a deployment's parameters.

    Raises:
        Refused: Its form names a parameter that the flow has not.
    """
    schema = parameter_schema(load_flow(deployment)).model_dump()
    try:
        return form(schema, deployment.form, choices)
    except ValueError as error:
        raise Refused(str(error), where=f"prefect.yaml, {deployment.entrypoint} / {deployment.name}") from None


def schedule_of(schedule: Schedule) -> SCHEDULE_TYPES:
    """A schedule as Prefect has it."""
    return construct_schedule(
        interval=schedule.interval,
        anchor_date=schedule.anchor_date,
        cron=schedule.cron,
        timezone=schedule.timezone,
    )


def register_deployments(
    client: SyncPrefectClient,
    deployments: Sequence[Deployment],
    choices: Mapping[str, Sequence[str]],
    version: str,
) -> dict[str, UUID]:
    """Bring the server to exactly these deployments of ours.

    Args:
        choices: What can be chosen, by parameter.
        version: Shown with each deployment.

    Returns:
        Their ids by `flow/name`.
    """
    ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[OWN_TAG]))
    before = {found.id: found for found in client.read_deployments(deployment_filter=ours, limit=PAGE)}
    made: dict[str, UUID] = {}
    for deployment in deployments:
        flow = load_flow(deployment)
        flow_id = client.create_flow_from_name(flow.name)
        same = next((f for f in before.values() if (f.flow_id, f.name) == (flow_id, deployment.name)), None)
        made[f"{flow.name}/{deployment.name}"] = _register(client, flow_id, deployment, choices, version, same)
    for extra in before.keys() - set(made.values()):
        client.delete_deployment(extra)
    return made


def _register(
    client: SyncPrefectClient,
    flow_id: UUID,
    deployment: Deployment,
    choices: Mapping[str, Sequence[str]],
    version: str,
    before: DeploymentResponse | None,
) -> UUID:
    return client.create_deployment(
        flow_id=flow_id,
        name=deployment.name,
        version=version,
        entrypoint=deployment.entrypoint,
        description=deployment.description,
        tags=deployment.tags,
        parameters=deployment.parameters,
        parameter_openapi_schema=form_of(deployment, choices),
        enforce_parameter_schema=True,
        work_pool_name=deployment.work_pool.name,
        concurrency_limit=deployment.concurrency_limit.limit,
        concurrency_options=ConcurrencyOptions.model_validate(
            {"collision_strategy": deployment.concurrency_limit.collision_strategy}
        ),
        schedules=_schedules(deployment, before),
        paused=before.paused if before else False,
        pull_steps=[],
    )


def _schedules(deployment: Deployment, before: DeploymentResponse | None) -> list[DeploymentScheduleCreate]:
    """The deployment's schedules; one that a person paused stays paused."""
    paused = {found.slug for found in (before.schedules if before else ()) if not found.active}
    return [
        DeploymentScheduleCreate(
            schedule=schedule_of(schedule),
            active=schedule.active and schedule.slug not in paused,
            parameters=schedule.parameters,
            slug=schedule.slug,
        )
        for schedule in deployment.schedules
    ]

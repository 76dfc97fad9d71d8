"""Automations: kept by name, for Prefect would make a second one of the same name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import CallWebhook, ChangeFlowRunState, DoNothing
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

PREFIX = "ops: "
ENDS = tuple(f"prefect.flow-run.{how}" for how in ("Completed", "Failed", "Cancelled", "Crashed"))
HEARTBEAT = "prefect.flow-run.heartbeat"
SILENCE = timedelta(minutes=15)
MISSED_HEARTBEATS = timedelta(seconds=90)
"""Three heartbeats of 30 s."""

_TOLD = '{"text": "🔴 no verification has run for 15 minutes: is the worker there? (./ops up)"}'


def wanted(verify_flow: UUID, webhook: UUID | None) -> list[AutomationCore]:
    """All automations of ours.

    Args:
        verify_flow: The flow whose runs must keep coming.
        webhook: Block by which the server tells people; the event feed alone shows it without one.
    """
    return [zombies(), silence(verify_flow, webhook)]


def zombies() -> AutomationCore:
    """Call a run crashed when its heartbeats stop: its process, or its machine, is gone and cannot say so."""
    return AutomationCore(
        name=f"{PREFIX}runs without a heartbeat have crashed",
        description="A run whose process was killed together with its worker would stay Running for ever.",
        trigger=EventTrigger(
            after={HEARTBEAT},
            expect={HEARTBEAT, *ENDS},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=MISSED_HEARTBEATS,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message="No heartbeat for 90 seconds: the process of this run is gone. Run it again to finish it.",
            )
        ],
    )


def silence(verify_flow: UUID, webhook: UUID | None) -> AutomationCore:
    """Tell when no verification has ended for a while: a schedule that stands still fails nothing by itself."""
    ended = {f"prefect.flow-run.{how}" for how in ("Completed", "Failed")}
    return AutomationCore(
        name=f"{PREFIX}no verification has run",
        description="Told once per silence, counted from the last verification that ended: "
        "to HEALTH_ALERT_WEBHOOK, and in the event feed.",
        trigger=EventTrigger(
            after=ended,
            expect=ended,
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            match_related={
                "prefect.resource.role": "flow",
                "prefect.resource.id": [f"prefect.flow.{verify_flow}"],
            },
            for_each={"related:flow:prefect.resource.id"},  # without it the server tells again and again
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[CallWebhook(block_document_id=webhook, payload=_TOLD) if webhook else DoNothing()],
    )


def register_automations(client: SyncPrefectClient, automations: Sequence[AutomationCore]) -> list[UUID]:
    """Bring the server to exactly these automations of ours; a person's pause is kept, his own are not touched."""
    ours = [a for a in client.read_automations() if a.name.startswith(PREFIX)]
    kept: list[UUID] = []
    for automation in automations:
        same = next((found for found in ours if found.name == automation.name), None)
        if same is None:
            kept.append(client.create_automation(automation))
            continue
        kept.append(same.id)
        automation.enabled = same.enabled
        if _said(same) != _said(automation):  # an update makes the server forget what it has counted so far
            client.update_automation(same.id, automation)
    for extra in ours:
        if extra.id not in kept:
            client.delete_automation(extra.id)
    return kept


def _said(automation: AutomationCore) -> dict[str, Any]:
    """What an automation says, without what the server adds."""
    trigger = automation.trigger.model_dump(mode="json", exclude={"id"})
    ordered = {key: sorted(value) if isinstance(value, list) else value for key, value in trigger.items()}
    actions = [action.model_dump(mode="json") for action in automation.actions]
    return {"about": automation.description, "trigger": ordered, "actions": actions}

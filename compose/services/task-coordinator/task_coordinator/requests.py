"""What clients of the coordinator send."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import AliasChoices, BaseModel, Field

from task_coordinator.records import MODEL_AGENT

PROMPT_NAMES = AliasChoices("prompt", "task", "description", "message")


class NobodyFits(Exception):
    """No agent has the wanted name or capability."""


class Assignment(BaseModel):
    """A task to be done: by the model unless an agent, or a capability of one, is named."""

    prompt: str = Field(min_length=1, max_length=100_000, validation_alias=PROMPT_NAMES)
    id: UUID | None = Field(default=None, description="Same id, same task: sent twice it is done once.")
    agent: str = Field(default="", max_length=100)
    capability: str = Field(default="", max_length=100)
    model: str = Field(default="", max_length=200)
    max_tokens: int = Field(default=0, ge=0, le=4096, description="0: the coordinator's default")


class Registration(BaseModel):
    """An agent that takes tasks at POST url/execute."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")
    url: str = Field(pattern=r"^https?://[^\s/@]+(/\S*)?$", max_length=300)
    capabilities: list[str] = Field(default_factory=list, max_length=50)


def choose_agent(assignment: Assignment, registered: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the agent for a task: the named one, or the first with the capability; raises NobodyFits."""
    wanted, capability = assignment.agent, assignment.capability
    if wanted == MODEL_AGENT or not (wanted or capability):
        return MODEL_AGENT
    for name, entry in sorted(registered.items()):
        if wanted == name or (not wanted and capability in entry["capabilities"]):
            return name
    raise NobodyFits(f"no agent {wanted}" if wanted else f"no agent with capability {capability}")

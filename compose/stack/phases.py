"""The twelve phases of a deployment (section 7.3): how it is reported, never what orders it."""

from __future__ import annotations

from enum import IntEnum

from compose.stack.roles import Role
from compose.stack.service import Service


class Phase(IntEnum):
    """One phase, numbered as in the architecture document."""

    SYSTEM_VALIDATION = 1
    ENVIRONMENT_SETUP = 2
    DIRECTORY_STRUCTURE = 3
    CORE_INFRASTRUCTURE = 4
    VECTOR_DATABASES = 5
    AI_MODELS = 6
    BACKEND_SERVICES = 7
    FRONTEND_SERVICES = 8
    AI_AGENTS = 9
    MONITORING_STACK = 10
    SYSTEM_INTEGRATION = 11
    HEALTH_VERIFICATION = 12

    @property
    def title(self) -> str:
        """The phase's name as people read it."""
        words = self.name.replace("_", " ").title()
        return words.replace("Ai ", "AI ")

    @property
    def tag(self) -> str:
        """The tag of task runs, such as `phase-04-core-infrastructure`."""
        return f"phase-{self.value:02d}-{self.name.lower().replace('_', '-')}"


BY_ROLE = {
    Role.POSTGRES: Phase.CORE_INFRASTRUCTURE,
    Role.REDIS: Phase.CORE_INFRASTRUCTURE,
    Role.NEO4J: Phase.CORE_INFRASTRUCTURE,
    Role.MYSQL: Phase.CORE_INFRASTRUCTURE,
    Role.MONGO: Phase.CORE_INFRASTRUCTURE,
    Role.CHROMADB: Phase.VECTOR_DATABASES,
    Role.QDRANT: Phase.VECTOR_DATABASES,
    Role.FAISS: Phase.VECTOR_DATABASES,
    Role.OLLAMA: Phase.AI_MODELS,
    Role.LITELLM: Phase.AI_MODELS,
    Role.NGINX: Phase.FRONTEND_SERVICES,
    Role.PROMETHEUS: Phase.MONITORING_STACK,
    Role.GRAFANA: Phase.MONITORING_STACK,
    Role.LOKI: Phase.MONITORING_STACK,
    Role.PROMTAIL: Phase.MONITORING_STACK,
}
BY_TIER = {"core": Phase.CORE_INFRASTRUCTURE, "agent": Phase.AI_AGENTS}
BY_WORD = (
    ("backend", Phase.BACKEND_SERVICES),
    ("frontend", Phase.FRONTEND_SERVICES),
    ("monitor", Phase.MONITORING_STACK),
    ("agent", Phase.AI_AGENTS),
    ("coordinator", Phase.AI_AGENTS),
)


def phase_of(service: Service, role: Role) -> Phase:
    """The phase that reports a service: its hint, else its role, tier or name, else the backend phase."""
    if service.hints.phase:
        return Phase(service.hints.phase)
    if role in BY_ROLE:
        return BY_ROLE[role]
    if service.hints.tier in BY_TIER:
        return BY_TIER[service.hints.tier]
    named = (phase for word, phase in BY_WORD if word in service.name)
    return next(named, Phase.BACKEND_SERVICES)

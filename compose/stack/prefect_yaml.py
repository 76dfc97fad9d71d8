"""`prefect.yaml` as values, read strictly: Prefect itself ignores a key that it does not know."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from compose.stack.errors import Refused

MODULE = r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+$"
SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class Strict(BaseModel):
    """A value with these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Schedule(Strict):
    """When a deployment runs: by an interval in seconds, or by a cron line.

    Args:
        slug: Its name, by which a person's pause is kept when it is registered again.
        anchor_date: A moment at which an interval begins.
    """

    slug: str = Field(pattern=SLUG)
    interval: int | None = Field(default=None, gt=0)
    anchor_date: datetime | None = None
    cron: str | None = None
    timezone: str = "UTC"
    active: bool = True
    parameters: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_kind(self) -> Schedule:
        if (self.interval is None) == (self.cron is None):
            raise ValueError("give either interval or cron")
        if self.anchor_date is not None and (self.interval is None or self.anchor_date.tzinfo is None):
            raise ValueError("anchor_date belongs to an interval and needs its offset from UTC")
        return self


class ConcurrencyLimit(Strict):
    """How many runs of a deployment there may be, and what becomes of one too many."""

    limit: int = Field(gt=0)
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]


class WorkPool(Strict):
    """Where it runs."""

    name: str


class Deployment(Strict):
    """One way to run a flow.

    Args:
        entrypoint: Module and function, with dots.
        form: Parameters that the UI's form shows, in this order; all of them when empty.
    """

    name: str = Field(pattern=SLUG)
    entrypoint: str = Field(pattern=MODULE)
    description: str = Field(min_length=1)
    tags: list[str] = Field(min_length=1)
    parameters: dict[str, Any] = Field(default_factory=dict)
    form: list[str] = Field(default_factory=list, alias="x-form")
    work_pool: WorkPool
    concurrency_limit: ConcurrencyLimit
    schedules: list[Schedule]

    @model_validator(mode="after")
    def _one_schedule_per_slug(self) -> Deployment:
        twice = [slug for slug, count in Counter(s.slug for s in self.schedules).items() if count > 1]
        if twice:
            raise ValueError(f"more than one schedule is called {', '.join(twice)}")
        return self

    @property
    def module(self) -> str:
        """The module of its flow."""
        return self.entrypoint.rpartition(".")[0]

    @property
    def function(self) -> str:
        """The flow's name in its module."""
        return self.entrypoint.rpartition(".")[2]


class PrefectYaml(Strict):
    """The whole file.

    Args:
        pull: Empty: the flows are installed where the worker runs.
        definitions: What YAML anchors stand on.
    """

    name: str
    prefect_version: str = Field(alias="prefect-version")
    pull: list[Any] = Field(max_length=0)
    definitions: dict[str, Any] = Field(default_factory=dict)
    deployments: list[Deployment] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_deployment_per_name(self) -> PrefectYaml:
        counts = Counter((d.entrypoint, d.name) for d in self.deployments)
        twice = [f"{entrypoint} / {name}" for (entrypoint, name), count in counts.items() if count > 1]
        if twice:
            raise ValueError(f"declared more than once: {', '.join(twice)}")
        return self


def parse_prefect_yaml(text: str, where: str = "prefect.yaml") -> PrefectYaml:
    """Read the file.

    Raises:
        Refused: It is no YAML, or says something that is not known; all problems at once.
    """
    try:
        return PrefectYaml.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise Refused(f"not valid YAML: {error}", where=where, next="correct the line") from None
    except ValidationError as error:
        problems = [f"{_place(problem['loc'])}: {problem['msg']}" for problem in error.errors()]
        raise Refused("; ".join(problems), where=where, next="correct these keys") from None


def _place(path: tuple[int | str, ...]) -> str:
    return ".".join(str(step) for step in path) or "the file"

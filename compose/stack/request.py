"""What a person asks for: which stack, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ImagePolicy = Literal["auto", "registry", "offline"]
Mode = Literal["apply", "plan"]
OnFailure = Literal["stop", "rollback"]


class StackRef(BaseModel):
    """Which compose project: a name that `stack add` keeps, or files.

    Args:
        stack: Kept name, `light` by default; ignored when files are given.
        files: Compose files in order.
        env_files: Files for interpolation.
        project_name: The compose project's name, where it shall differ from the file's.
        profiles: Profiles to activate.
    """

    model_config = ConfigDict(extra="forbid")

    stack: str = "light"
    files: list[str] = Field(default_factory=list)
    env_files: list[str] = Field(default_factory=list)
    project_name: str = ""
    profiles: list[str] = Field(default_factory=list)


class DeployRequest(StackRef):
    """A deployment.

    Args:
        mode: `plan` shows what would be done and stops.
        only: Services to deploy, with what they depend on; all by default.
        images: Where images may come from.
        accept: Codes of preflight findings that are taken as a risk.
        on_failure: `stop` leaves failed services for inspection, `rollback` brings the previous release back.
    """

    mode: Mode = "apply"
    only: list[str] = Field(default_factory=list)
    images: ImagePolicy = "auto"
    accept: list[str] = Field(default_factory=list)
    on_failure: OnFailure = "stop"

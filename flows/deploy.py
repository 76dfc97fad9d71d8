"""The deploy flow: what the Prefect UI, schedules, CI and the command line run."""

from __future__ import annotations

from contextvars import ContextVar

from prefect import flow
from prefect.client.schemas.objects import State

from blocks.docker_host import engine_from_block
from blocks.home import Home
from compose.stack.report import DeployReport, plan_markdown, report_markdown
from compose.stack.request import DeployRequest, ImagePolicy, Mode, OnFailure
from flows.deploy_stack import deploy_stack
from flows.naming import named
from flows.outcome import Attempt, ended
from flows.publish import artifact_key, publish_markdown
from flows.recording import PrefectRunner
from flows.walker import ThreadRunner

attempt: ContextVar[Attempt[DeployReport] | None] = ContextVar("attempt", default=None)


@flow(name="deploy", flow_run_name=named("deploy", "mode"), validate_parameters=True)
def deploy(
    stack: str = "light",
    mode: Mode = "apply",
    images: ImagePolicy = "auto",
    on_failure: OnFailure = "stop",
    only: list[str] | None = None,
    accept: list[str] | None = None,
    files: list[str] | None = None,
    env_files: list[str] | None = None,
    project_name: str = "",
    profiles: list[str] | None = None,
) -> State[None]:
    """Bring a stack to what its compose files say, every service proven ready.

    Args:
        stack: Which stack; `light`, or a name kept with `./ops stack add`. Not used when files are given.
        mode: `plan` shows what would be done, and why, and changes nothing.
        images: Where images may come from: `registry`, `offline` (built here from packages), or `auto` for both.
        on_failure: `stop` leaves failed services for inspection; `rollback` brings the previous release back.
        only: Deploy only these services, with what they depend on; all when empty.
        accept: Codes of preflight findings that are taken as a risk and recorded in the release.
        files: Compose files of a project that is not kept by name.
        env_files: Files for interpolation.
        project_name: Name of the compose project, where it shall differ from the file's.
        profiles: Profiles to activate.
    """
    request = DeployRequest(
        stack=stack, mode=mode, images=images, on_failure=on_failure, only=only or [], accept=accept or [],
        files=files or [], env_files=env_files or [], project_name=project_name, profiles=profiles or [],
    )  # fmt: skip
    current = attempt.get() or Attempt(
        lambda _: deploy_stack(request, runner=PrefectRunner(), engine=engine_from_block())
    )
    return ended(current, publish)


def publish(report: DeployReport) -> None:
    """Leave the plan, or the report, in the UI."""
    if report.mode == "plan":
        publish_markdown(artifact_key("plan", report.stack), plan_markdown(report), report.headline)
    else:
        publish_markdown(artifact_key("deploy", report.stack), report_markdown(report), report.headline)


def deploy_recorded(request: DeployRequest, home: Home) -> DeployReport:
    """Deploy as a flow run of this process; a server that dies meanwhile costs the record, not the deployment."""

    def work(recorded: bool) -> DeployReport:
        if not recorded:
            return deploy_stack(request, home=home, runner=ThreadRunner())
        return deploy_stack(request, home=home, runner=PrefectRunner(), engine=engine_from_block())

    mine = Attempt(work)
    token = attempt.set(mine)
    try:
        return mine.through(lambda: deploy(**request.model_dump(), return_state=True))
    finally:
        attempt.reset(token)

"""The verify flow: what schedules, the UI, CI and the command line run to learn whether a stack works."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from prefect import Task, flow
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from blocks.alert import AlertWebhook
from blocks.alert_block import NAME, AlertWebhookBlock
from blocks.docker_host import engine_from_block
from blocks.home import Home
from compose.stack.errors import OpsError
from compose.stack.report_verify import alert_of, markdown
from compose.stack.verdicts import Change, Level, ServiceVerdict, Verdict
from compose.stack.verification import VerifyRequest
from flows.publish import artifact_key
from flows.recording import PrefectRunner
from tasks.verify import Verified, verify_stack

log = logging.getLogger("ops.verify")


@dataclass
class Attempt:
    """One verification, done once, whether Prefect records it or not."""

    home: Home
    begun: bool = False
    done: list[Verified | OpsError] = field(default_factory=list)


attempt: ContextVar[Attempt | None] = ContextVar("attempt", default=None)


def _run_name() -> str:
    given = flow_run.parameters
    target = given.get("project_name") or ", ".join(given.get("files") or ()) or given.get("stack")
    return f"verify {given.get('level')} {target}"


@flow(name="verify", flow_run_name=_run_name, validate_parameters=True)
def verify(
    stack: str = "light",
    level: Level = Level.READY,
    files: list[str] | None = None,
    env_files: list[str] | None = None,
    project_name: str = "",
    profiles: list[str] | None = None,
) -> State[Any]:
    """Prove that every service of a stack is up, ready, or doing its job; tell when that changed.

    Args:
        stack: Which stack; `light`, or a name kept with `./ops stack add`. Not used when files are given.
        level: `alive` asks each service's own probe, `ready` its readiness route, `working` makes a round trip.
        files: Compose files of a project that is not kept by name.
        env_files: Files for interpolation.
        project_name: Name of the compose project, where it shall differ from the file's.
        profiles: Profiles to activate.
    """
    request = VerifyRequest(
        stack=stack, level=level, files=files or [], env_files=env_files or [],
        project_name=project_name, profiles=profiles or [],
    )  # fmt: skip
    current = attempt.get() or Attempt(Home.find())
    verified = _verify(request, current)
    for service in verified.report.failed:
        _show_failure(service)
    publish(verified)
    if verified.change:
        announce(verified.change)
    if verified.report.verdict is Verdict.FAILED:
        return Failed(message="\n- ".join((verified.summary, *verified.report.reasons)))
    return Completed(message=verified.summary)


def _verify(request: VerifyRequest, current: Attempt) -> Verified:
    current.begun = True
    try:
        verified = verify_stack(
            request, home=current.home, runner=PrefectRunner(), webhook=_webhook(), connect=engine_from_block
        )
    except OpsError as error:
        current.done.append(error)
        raise
    current.done.append(verified)
    return verified


def _show_failure(service: ServiceVerdict) -> None:
    """A task run of its own for a service that failed, so that the UI's graph shows it, with the next command."""

    def tell() -> State[Any]:
        return Failed(message=f"{'; '.join(service.reasons)} Next: ./ops logs {service.service}")

    title = f"{service.service} failed"
    try:
        Task(
            fn=tell, name="failed service", task_run_name=title, tags=["verify-failure"], cache_policy=NO_CACHE,
            persist_result=False,
        )(return_state=True)  # fmt: skip
    except Exception as error:  # noqa: BLE001 - whatever ails the server must not change the verdict
        log.warning("%s: not shown in the UI: %s", title, type(error).__name__)


def publish(verified: Verified) -> None:
    """Leave the table in the UI, under a key of the stack, so that the UI keeps its history."""
    report = verified.report
    table = verified.rows() or [
        {"service": "all", "verdict": report.verdict.value, "how": report.note or report.trouble}
    ]
    try:
        create_table_artifact(table=table, key=artifact_key("verify", report.stack), description=markdown(report))
    except Exception as error:  # noqa: BLE001 - whatever ails the server must not change the verdict
        log.warning("the table is not published: %s: %s", type(error).__name__, error)


def announce(change: Change) -> None:
    """One event per change of verdict: `ops.stack.failed` or `ops.stack.recovered`."""
    name = "failed" if change.now is Verdict.FAILED else "recovered"
    resource = {"prefect.resource.id": f"ops.stack.{change.stack}", "prefect.resource.name": change.stack}
    try:
        emit_event(event=f"ops.stack.{name}", resource=resource, payload=alert_of(change))
    except Exception as error:  # noqa: BLE001 - the alert went out by webhook; an event less must not fail the run
        log.warning("the event is not emitted: %s: %s", type(error).__name__, error)


def _webhook() -> AlertWebhook | None:
    """The webhook that the UI's block names, if there is one; the settings' is used otherwise."""
    try:
        block = AlertWebhookBlock.load(NAME)
    except Exception as error:  # noqa: BLE001 - no block, or no server: the settings decide
        log.debug("no alert block: %s", error)
        return None
    return block.webhook() if isinstance(block, AlertWebhookBlock) else None


def verify_recorded(request: VerifyRequest, home: Home) -> Verified:
    """Verify as a flow run of this process; a server that dies meanwhile costs the record, not the verdict.

    Raises:
        OpsError: It could not begin: no such stack, or its files cannot be understood.
    """
    mine = Attempt(home)
    token = attempt.set(mine)
    try:
        verify(**request.model_dump(), return_state=True)
    except Exception as error:
        if mine.begun and not mine.done:
            raise
        if not isinstance(error, OpsError):
            log.warning("this run is not recorded: %s: %s", type(error).__name__, error)
    finally:
        attempt.reset(token)
    if not mine.done:
        return verify_stack(request, home=home)
    last = mine.done[-1]
    if isinstance(last, OpsError):
        raise last
    return last

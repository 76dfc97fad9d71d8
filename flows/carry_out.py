"""Carrying a plan out: every service in its turn, proven ready, the rest going on when one fails."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from compose.stack.causes import cause_of_exit
from compose.stack.errors import OpsError, UpstreamFailed
from compose.stack.inference import ended_well, is_oneshot
from compose.stack.plan import Action, Plan, Step
from compose.stack.report import ServiceReport
from compose.stack.walkplan import ready_key, start_key
from flows.nodes import Nodes
from flows.walker import Outcome, Runner, walk
from tasks.ready import ENDED_WELL, Proof, ready_now
from tasks.watch import Watch
from tasks.work import Work

STILL = {Action.UNCHANGED, Action.DONE, Action.NONE}


def carry_out(work: Work, plan: Plan, runner: Runner, before: dict[str, float]) -> dict[str, ServiceReport]:
    """Do what a plan says; what became of each service.

    Args:
        before: Seconds that each service took in earlier runs.
    """
    with Watch(work.engine, work.name) as watch:
        steady = _steady(work, plan)
        nodes = Nodes(work, plan, watch, steady).all()
        work.moments["create"] = time.monotonic()
        outcomes = walk(nodes, runner)
        work.moments["walked"] = time.monotonic()
    reports = {step.service: _report(work, step, outcomes, steady, before) for step in plan.steps}
    return _last_look(work, plan, reports)


def _steady(work: Work, plan: Plan) -> dict[str, str]:
    """Unchanged services that prove themselves at once, with their proof."""
    still = [
        step for step in plan.steps if step.action is Action.UNCHANGED and not is_oneshot(work.stack, step.service)
    ]
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda step: ready_now(work, step), still))
    return {step.service: answer.detail for step, answer in zip(still, answers, strict=True) if answer.ok}


def _report(
    work: Work, step: Step, outcomes: dict[str, Outcome], steady: dict[str, str], before: dict[str, float]
) -> ServiceReport:
    name = step.service
    mine = [outcomes[key] for key in (start_key(name), ready_key(name)) if key in outcomes]
    bad = next((outcome.error for outcome in mine if outcome.error), None)
    proof = next((outcome.value for outcome in mine if isinstance(outcome.value, Proof)), None)
    if bad is not None:
        state = "upstream failed" if isinstance(bad, UpstreamFailed) and bad.cause != name else "failed"
    elif proof is not None:
        state = proof.state
    else:
        state = "unchanged" if step.action is Action.UNCHANGED else step.action.value
    stopped, ready = work.moments.get(f"stop:{name}"), work.moments.get(f"ready:{name}")
    return ServiceReport(
        service=name,
        phase=step.phase.value,
        action=step.action.value,
        state=state,
        reason=str(_first_error(outcomes, name) or bad) if bad else "; ".join(step.reasons),
        proof=proof.how if proof else steady.get(name, ""),
        seconds=round(proof.seconds, 2) if proof else 0.0,
        began=round(min((o.began for o in mine), default=0.0), 2),
        ended=round(max((o.ended for o in mine), default=0.0), 2),
        gap=round(ready - stopped, 2) if stopped and ready else None,
        before=before.get(name),
    )


def _first_error(outcomes: dict[str, Outcome], name: str) -> OpsError | None:
    start = outcomes.get(start_key(name))
    return start.error if start is not None else None


def _last_look(work: Work, plan: Plan, reports: dict[str, ServiceReport]) -> dict[str, ServiceReport]:
    """Find services that ended after they had been proven."""
    proven = {name for name, report in reports.items() if report.state in {"ready", "running", "unchanged"}}
    changed = {step.service for step in plan.changes}
    for listed in work.engine.glance(work.name).containers if proven & changed else ():
        if listed.service not in proven or listed.state not in {"exited", "dead", "restarting"}:
            continue
        container = work.engine.inspect(listed.id) or listed
        if ended_well(work.stack, container.service, container):
            done = {"state": "completed", "proof": ENDED_WELL}
            reports[container.service] = reports[container.service].model_copy(update=done)
            continue
        cause = cause_of_exit(container, work.engine.logs(container.id, 12))
        failed = {"state": "failed", "reason": work.redactor.text(f"{container.service}: it ended again: {cause}")}
        reports[container.service] = reports[container.service].model_copy(update=failed)
    return reports

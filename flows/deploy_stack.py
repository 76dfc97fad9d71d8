"""Deploy a stack: the runbook, as plain code that any runner can execute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from blocks.compose_cli import ComposeCli
from blocks.engine import Engine
from blocks.home import Home
from blocks.lock import stack_lock
from compose.stack import commands
from compose.stack.errors import Exit, OpsError, Refused
from compose.stack.graph import critical_path, graph_of
from compose.stack.phases import Phase as P
from compose.stack.plan import Plan
from compose.stack.redact import Redactor
from compose.stack.release import Health, Release
from compose.stack.report import DeployReport, ServiceReport, plan_rows
from compose.stack.request import DeployRequest, StackRef
from compose.stack.sealing import literals
from compose.stack.walkplan import predicted_seconds
from flows.carry_out import carry_out
from flows.walker import Runner, ThreadRunner
from tasks import history
from tasks.data_format import refuse_other_formats
from tasks.first_met import remember_what_ran
from tasks.images import get_images
from tasks.planning import make_plan, scope_of
from tasks.preflight_gate import after_images, before_anything, explain_refusal, first_start_secrets
from tasks.prepare import integrate, prepare_directories, repair_leftovers
from tasks.releases import draft, give_back, keep_images, last, record, within
from tasks.stacks import load_stack, redactor_for, resolve
from tasks.work import Work

log = logging.getLogger("ops.deploy")
Result = TypeVar("Result")


def deploy_stack(
    request: DeployRequest, *, home: Home | None = None, runner: Runner | None = None, engine: Engine | None = None
) -> DeployReport:
    """Bring a stack to what its files say, every service proven ready; or show the plan.

    Args:
        request: What to deploy, and how.
        home: State directory; found from the environment by default.
        runner: Executes the steps; threads by default.
        engine: The engine; found from the environment by default.

    Raises:
        Refused: Bad input, or a risk that was not accepted; nothing was touched.
        Locked: Somebody else works on this stack.
        Failed: It could not go on before any service was started.
    """
    home, runner, engine = home or Home.find(), runner or ThreadRunner(), engine or Engine.connect()
    if request.mode == "plan":
        work = open_work(home, request, engine)
        with hiding(work.redactor):
            return show_plan(work, request, runner)
    with locked(home, request, engine, "deploy") as work:
        return clean(_deploy(work, request, runner), work.redactor)


def _deploy(work: Work, request: DeployRequest, runner: Runner) -> DeployReport:
    scope = scope_of(work, request.only)
    steps = Phases(work, runner)
    findings = steps.do(P.SYSTEM_VALIDATION, "validate", lambda: before_anything(work, request, scope))
    steps.do(P.ENVIRONMENT_SETUP, "secrets", lambda: first_start_secrets(work, scope, request.accept))
    steps.do(P.DIRECTORY_STRUCTURE, "directories", lambda: prepare_directories(work, scope))
    repair_leftovers(work)
    remember_what_ran(work)
    work = runner.step("images", lambda: get_images(work, request.images, scope))
    scope = scope_of(work, request.only)
    findings += runner.step("validate images", lambda: after_images(work, request, scope))
    plan = runner.step("plan", lambda: make_plan(work, scope))
    refuse_other_formats(work, [step.service for step in plan.changes])
    previous = last(work)
    if previous is not None:
        keep_images(work, previous)
    work.rolls_back = request.on_failure == "rollback" and previous is not None and previous.restorable
    report = apply(work, plan, runner).model_copy(update={"findings": list(findings.lines())})
    return finish(
        work, report, previous, scope, steps, tuple(f"{f.code}:{f.service}".rstrip(":") for f in findings.accepted)
    )


def finish(
    work: Work,
    report: DeployReport,
    previous: Release | None,
    scope: frozenset[str],
    steps: Phases,
    accepted: tuple[str, ...],
) -> DeployReport:
    """What follows once every service had its turn: integration and a release, or the previous release."""
    if not report.failed:
        report = integrated(work, scope, report, steps)
    if report.failed and work.rolls_back and previous is not None:
        return undo(work, report, previous, steps.runner)
    if not report.failed:
        report = settle(work, report, accepted, scope)
    return report.model_copy(update={"phases": {**report.phases, **steps.seconds}})


@dataclass
class Phases:
    """Runs the steps that are phases of their own, and keeps their times."""

    work: Work
    runner: Runner
    seconds: dict[int, float] = field(default_factory=dict)

    def do(self, phase: P, title: str, work: Callable[[], Result]) -> Result:
        """Run one step under its phase's number and tag."""
        began = time.monotonic()
        self.work.journal(title, "begin")
        result = self.runner.step(f"{phase.value:02d} {title}", work, tags=[phase.tag])
        self.work.journal(title, "end")
        self.seconds[phase.value] = round(time.monotonic() - began, 2)
        return result


def integrated(work: Work, scope: frozenset[str], report: DeployReport, steps: Phases) -> DeployReport:
    """Make what services need of each other; a failure of it is the deployment's."""
    try:
        steps.do(P.SYSTEM_INTEGRATION, "integrate", lambda: integrate(work, scope))
    except OpsError as error:
        said = f"{report.headline}, but what services need of each other could not be made: {error}"
        return report.model_copy(
            update={"exit_code": Exit.FAILED, "headline": said, "errors": [*report.errors, str(error)]}
        )
    return report


def show_plan(work: Work, request: DeployRequest, runner: Runner) -> DeployReport:
    """What a deployment would do; nothing is touched."""
    scope = scope_of(work, request.only)
    findings = before_anything(work, request, scope, refuse=False) + after_images(
        work, request, scope, refuse=False
    )
    plan = runner.step("plan", lambda: make_plan(work, scope))
    seconds = predicted_seconds(work.stack, plan.steps, history.expected(work.state))
    changes = ", ".join(f"{step.service}: {step.action}" for step in plan.changes) or "nothing to do"
    predicted = f"; predicted {seconds:.0f} s" if seconds is not None and plan.changes else ""
    report = DeployReport(
        stack=work.found.name,
        project=work.name,
        mode="plan",
        headline=f"{len(plan.changes)} of {len(plan.steps)} services change ({changes}){predicted}",
        plan=plan_rows(plan),
        findings=list(findings.lines()),
        exit_code=Exit.REFUSED if findings.errors else Exit.DONE,
        orphans=list(plan.orphans),
        predicted=seconds,
        plain_command=list(commands.plain_up(work.project)),
    )
    return clean(report, work.redactor)


def apply(work: Work, plan: Plan, runner: Runner) -> DeployReport:
    """Carry a plan out and say how it went."""
    before = history.expected(work.state)
    began = time.monotonic()
    outcomes = carry_out(work, plan, runner, before)
    walked = work.moments.get("walked", time.monotonic())
    seconds = time.monotonic() - began
    bad = [outcome for outcome in outcomes.values() if not outcome.ok]
    ready = {name.partition(":")[2]: at for name, at in work.moments.items() if name.startswith("ready:")}
    first = work.moments.get("create", began)
    took = {o.service: {"seconds": o.seconds, "gap": o.gap} for o in outcomes.values() if o.seconds}
    history.remember(work.state, "deploy", seconds, took, not bad)
    report = DeployReport(
        stack=work.found.name,
        project=work.name,
        mode="apply",
        exit_code=Exit.FAILED if bad else Exit.DONE,
        headline=headline(outcomes, plan, time.monotonic() - work.began),
        outcomes=outcomes,
        plan=plan_rows(plan),
        orphans=list(plan.orphans),
        plain_command=list(commands.plain_up(work.project)),
        critical_path=list(critical_path(graph_of(work.stack), {n: at - first for n, at in ready.items()})),
        seconds=round(time.monotonic() - work.began, 2),
        create_to_ready=round(max(ready.values(), default=first) - first, 2),
        predicted=predicted_seconds(work.stack, plan.steps, before),
        phases={P.HEALTH_VERIFICATION.value: round(time.monotonic() - walked, 2)},
        recorded=runner.recorded,
        errors=[outcome.reason for outcome in bad],
    )
    return clean(report, work.redactor)


def headline(outcomes: dict[str, ServiceReport], plan: Plan, seconds: float) -> str:
    """The outcome in one sentence."""
    bad = [outcome.service for outcome in outcomes.values() if not outcome.ok]
    if bad:
        return f"{len(bad)} of {len(outcomes)} services failed: {', '.join(bad)} ({seconds:.1f} s)"
    if plan.nothing_to_do:
        return f"nothing to do: {len(outcomes)} services are as wanted ({seconds:.1f} s)"
    unproven = [o.service for o in outcomes.values() if o.state == "running" and o.proof.startswith("not proven")]
    proven = f"not proven: {', '.join(unproven)}" if unproven else "all proven"
    return f"{len(plan.changes)} of {len(outcomes)} services changed, {proven} ({seconds:.1f} s)"


def settle(
    work: Work,
    report: DeployReport,
    accepted: tuple[str, ...],
    scope: frozenset[str],
    of: Release | None = None,
) -> DeployReport:
    """Record a release of what runs now, unless it is what the last one recorded."""
    health = {
        o.service: Health(state=o.state, proof=work.redactor.text(o.proof), seconds=o.seconds)
        for o in report.outcomes.values()
    }
    kind = "rollback" if of else "deploy"
    made = within(work, draft(work, kind, health, accepted, of.number if of else None), scope)  # type: ignore[arg-type]
    latest = last(work)
    if latest is not None and latest.content() == made[0].content():
        return report.model_copy(update={"release": latest.number})
    work.journal("release", "begin")
    number = record(work, made).number
    work.journal("release", "end", number=number)
    return report.model_copy(update={"release": number})


def undo(work: Work, report: DeployReport, previous: Release, runner: Runner) -> DeployReport:
    """Bring the previous release back after a failure."""
    work.say("rollback", f"bringing release {previous.number} back")
    try:
        back = bring_back(work, previous, runner)
    except OpsError as error:
        said = f"{report.headline}; release {previous.number} could not be brought back: {error}"
        changes = {"exit_code": Exit.FAILED, "headline": said, "errors": [*report.errors, str(error)]}
        return report.model_copy(update=changes)
    what = f"{report.headline}; release {previous.number} is back" if not back.failed else (
        f"{report.headline}; release {previous.number} could not be brought back: {back.headline}"
    )  # fmt: skip
    code = Exit.FAILED if back.failed else Exit.ROLLED_BACK
    changes = {"exit_code": code, "headline": what, "errors": report.errors + back.errors, "release": back.release}
    return report.model_copy(
        update={**changes, "plain_command": back.plain_command, "kind": "deploy, rolled back"}
    )


def bring_back(work: Work, release: Release, runner: Runner) -> DeployReport:
    """Deploy a recorded release by its images' ids and its own files, with today's secrets."""
    work.journal("rollback", "begin", release=release.number)
    refuse_other_formats(work, release.images, {name: image.id for name, image in release.images.items()})
    found, cli, differing = give_back(work, release)
    for name in differing:
        work.say("rollback", f"today's {name} is used; it differs from release {release.number}")
    then = reopened(replace(work, found=found, cli=cli))
    repair_leftovers(then)
    scope = scope_of(then, [])
    plan = make_plan(then, scope)
    report = apply(then, plan, runner).model_copy(update={"kind": "rollback"})
    if not report.failed:
        report = settle(then, report, (), scope, release)
    work.journal("rollback", "end", release=release.number, exit=int(report.exit_code))
    return report


@contextmanager
def locked(home: Home, ref: StackRef, engine: Engine, what: str) -> Iterator[Work]:
    """Open a stack and hold its lock; children of ours hold it as long as they live."""
    work = open_work(home, ref, engine)
    with stack_lock(engine.id, work.name, what) as handle, hiding(work.redactor):
        yield replace(work, cli=replace(work.cli, keep=(handle,)))


@contextmanager
def hiding(redactor: Redactor) -> Iterator[None]:
    """Let no error out that holds a secret."""
    try:
        yield
    except OpsError as error:
        error.what = redactor.text(error.what)
        raise


def open_work(home: Home, ref: StackRef, engine: Engine) -> Work:
    """Read a stack and make ready to work on it.

    Raises:
        Refused: No such stack, or its files cannot be understood.
    """
    found = resolve(home, ref)
    cli = ComposeCli(found.environment)
    try:
        found, stack = load_stack(home, found, cli)
    except Refused as said:
        raise explain_refusal(home.path, found.project, engine, found.environment, said) from None
    return _read(Work(home, found, stack, engine, cli, Redactor()))


def reopened(work: Work) -> Work:
    """The same run on other files."""
    _, stack = load_stack(work.home, work.found, work.cli)
    again = replace(work, stack=stack, moments={}, made={}, flat=None, abort=type(work.abort)(), rolls_back=False)
    return _read(again)


def _read(work: Work) -> Work:
    work = replace(work, flat=work.flattened())
    return replace(work, redactor=redactor_of(work))


def clean(report: DeployReport, redactor: Redactor) -> DeployReport:
    """The report without any secret that a service may have said, or that its files hold."""
    hide = redactor.text
    outcomes = {
        name: o.model_copy(update={"reason": hide(o.reason), "proof": hide(o.proof)})
        for name, o in report.outcomes.items()
    }
    texts = {key: [hide(line) for line in getattr(report, key)] for key in ("errors", "findings", "orphans")}
    plan = redactor.rows(report.plan, names=("service", "action"))
    return report.model_copy(
        update={"outcomes": outcomes, "headline": hide(report.headline), "plan": plan, **texts}
    )


def redactor_of(work: Work) -> Redactor:
    """Everything that must not be shown of a stack, and of this product's own."""
    flat = work.flattened()
    known = redactor_for(work.home, work.stack, {**flat.variables, **literals(flat.known)})
    return known.also(flat.loose)

"""The command line's way into the flows: recorded by Prefect where its server runs, plain where it does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose.stack.errors import Refused
from compose.stack.report import DeployReport
from compose.stack.request import DeployRequest, StackRef
from compose.stack.verdicts import Level, Mark, Verdict
from compose.stack.verification import VerifyRequest
from deployments import console
from deployments.session import Session

if TYPE_CHECKING:
    from tasks.verify import Verified


def recorded(session: Session) -> bool:
    """Point this process at our Prefect server; False, said aloud, when it does not answer."""
    if session.prefect.api.accepts_us():
        session.use_prefect()
        return True
    console.err.print("the Prefect server does not answer: this run is not recorded (./ops up starts it)")
    return False


def prepare_images(session: Session, request: DeployRequest) -> list[str]:
    """Check the machine, then bring every image the stack needs; the references that had to be got."""
    from blocks.engine import Engine
    from flows.deploy_stack import locked
    from tasks.images import get_images, missing_images
    from tasks.planning import scope_of
    from tasks.preflight_gate import before_anything

    with locked(session.home, request, Engine.connect(), "images") as work:
        scope = scope_of(work, request.only)
        before_anything(work, request, scope)
        missing = missing_images(work)
        after = get_images(work, request.images, scope)
        return sorted({after.stack[name].image for name in missing if name in scope})


def plan(session: Session, request: DeployRequest, *, json: bool) -> DeployReport:
    """Show what would be done."""
    from flows.deploy_stack import deploy_stack

    report = deploy_stack(request.model_copy(update={"mode": "plan"}), home=session.home)
    if json:
        console.show_json(report.model_dump(mode="json"))
        return report
    keys = ("service", "action", "why", "proven by", "downtime", "volumes", "image to get")
    rows = [[_shown(row.get(key)) for key in keys] for row in report.plan]
    console.table([key.upper() for key in keys], rows, styles=_plan_style)
    console.lines("findings", report.findings)
    console.lines("orphans (named, never removed unasked)", report.orphans)
    console.say(report.headline)
    return report


def _plan_style(row: list[str]) -> str:
    return {"unchanged": console.DIM, "done": console.DIM, "none": console.DIM}.get(row[1], console.GOOD)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    return "" if value is None else f"{value:.1f} s" if isinstance(value, float) else str(value)


def deploy(session: Session, request: DeployRequest) -> DeployReport:
    """Deploy, as a flow run where Prefect is there."""
    if recorded(session):
        from flows.deploy import deploy_recorded

        return deploy_recorded(request, session.home)
    from flows.deploy_stack import deploy_stack

    return deploy_stack(request, home=session.home).model_copy(update={"recorded": False})


def rollback(session: Session, ref: StackRef, release: int | None) -> DeployReport:
    """Bring an earlier release back, as a flow run where Prefect is there."""
    if recorded(session):
        from flows.rollback import rollback_recorded

        return rollback_recorded(ref, release, session.home)
    from flows.rollback_stack import rollback_stack

    return rollback_stack(ref, release, home=session.home).model_copy(update={"recorded": False})


def show_deploy(report: DeployReport, *, json: bool) -> None:
    """The report, for a program or a person."""
    if json:
        console.show_json(report.model_dump(mode="json"))
        return
    columns = ("SERVICE", "ACTION", "STATE", "SECONDS", "BEFORE", "PROVEN BY", "WHY")
    rows = [
        (o.service, o.action, o.state, f"{o.seconds:.1f}", _shown(o.before), o.proof, o.reason)
        for o in sorted(report.outcomes.values(), key=lambda o: o.ended)
    ]
    good = {o.service for o in report.outcomes.values() if o.ok}
    console.table(columns, rows, styles=lambda row: "" if row[0] in good else console.BAD)
    console.lines("findings", report.findings)
    console.lines("orphans (named, never removed unasked)", report.orphans)
    if report.critical_path:
        console.say(f"critical path: {' → '.join(report.critical_path)}")
    if report.release is not None:
        console.say(f"release {report.release}")
    console.say(f"the same by hand: {' '.join(report.plain_command)}", style=console.DIM)
    console.say(report.headline, style=console.BAD if report.failed else console.GOOD)


def verify(session: Session, ref: StackRef, level: str = "working") -> Verified:
    """Verify, as a flow run where Prefect is there."""
    try:
        request = VerifyRequest(**ref.model_dump(include=set(StackRef.model_fields)), level=Level(level))
    except ValueError:
        raise Refused(f"is none of {', '.join(Level)}", where=f"--level {level}") from None
    if recorded(session):
        from flows.verify import verify_recorded

        return verify_recorded(request, session.home)
    from tasks.verify import verify_stack

    return verify_stack(request, home=session.home)


def show_verify(verified: Verified, *, json: bool) -> None:
    """The verdict, for a program or a person."""
    if json:
        console.show_json(verified.as_dict())
        return
    rows = verified.rows()
    if rows:
        styles = {Mark.FAILED.value: console.BAD, Mark.NOT_PROVEN.value: "yellow"}
        console.table(
            [key.upper() for key in rows[0]],
            [list(row.values()) for row in rows],
            styles=lambda row: next((styles[cell] for cell in row if cell in styles), ""),
        )
    bad = verified.report.verdict is Verdict.FAILED
    console.say(verified.summary, style=console.BAD if bad else console.GOOD)

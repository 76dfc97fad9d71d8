"""Back up a stack: the runbook, as plain code that any runner can execute."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from blocks.engine import Engine
from blocks.home import Home
from compose.stack.backup.order import rounds, waits_for
from compose.stack.backup.plan import BackupPlan, megabytes, plan_rows
from compose.stack.backup.report import BackupReport
from compose.stack.backup.request import BackupRequest
from compose.stack.errors import Exit
from compose.stack.redact import Redactor
from flows.deploy_stack import open_work
from flows.walker import Node, Runner, ThreadRunner, walk
from tasks import history
from tasks.backup.begin import Begun, begin
from tasks.backup.prepare import prepare
from tasks.backup.saving import seconds_of
from tasks.backup.seal import seal
from tasks.backup.tell import tell_success
from tasks.backup.turn import turn
from tasks.work import Work

log = logging.getLogger("ops.backup")


def backup_stack(
    request: BackupRequest,
    *,
    home: Home | None = None,
    runner: Runner | None = None,
    engine: Engine | None = None,
    show: Callable[[float], None] = lambda _: None,
) -> BackupReport:
    """Save every store, volume and file of a stack to every target; or show the plan.

    Args:
        request: What to save, and where to.
        home: State directory; found from the environment by default.
        runner: Executes the steps; threads by default.
        engine: The engine; found from the environment by default.
        show: Told how much is done, from 0 to 1.

    Raises:
        Refused: Bad input, or something stands against it; nothing was touched.
        Locked: Another backup runs, or somebody changes the stack.
    """
    home, runner, engine = home or Home.find(), runner or ThreadRunner(), engine or Engine.connect()
    work = open_work(home, request, engine)
    if request.mode == "plan":
        return clean(show_plan(work, prepare(work, request).plan), work.redactor)
    with turn(work, "backup") as lock:
        work = replace(work, cli=replace(work.cli, keep=(lock.handle,)))
        prepared = runner.step("look", lambda: prepare(work, request))
        prepared.refuse()
        with begin(work, request, prepared, lock, show) as begun:
            return clean(_back_up(begun, runner), work.redactor)


def _back_up(begun: Begun, runner: Runner) -> BackupReport:
    began = time.monotonic()
    if begun.request.consistency:
        runner.step("consistency point", begun.open_all)
    walk(nodes(begun), runner)
    begun.saver.close()
    targets = runner.step("seal", partial(seal, begun))
    report = begun.report(targets, time.monotonic() - began)
    took = seconds_of(begun.saver.reports)
    history.remember(begun.work.state, "backup", report.seconds, took, not report.failed)
    if report.complete:
        tell_success(begun.work, report)
    return report


def nodes(begun: Begun) -> list[Node]:
    """One step per component; it waits only for those that stop a service which it reads while it runs."""
    return [
        Node(
            key=f"save:{component.name}",
            service=component.name,
            work=partial(begun.saver.save, component),
            optional=tuple(f"save:{name}" for name in waits_for(component, begun.components)),
            title=f"save {component.name}",
            tags=("backup", component.kind.value),
        )
        for together in rounds(begun.components)
        for component in together
    ]


def show_plan(work: Work, plan: BackupPlan) -> BackupReport:
    """What a backup would do; nothing is touched."""
    stopped = [one for one in plan.components if one.downtime is not None]
    parts = [f"{len(plan.components)} components, at most {megabytes(plan.bytes)} to read"]
    parts += [f"predicted {plan.seconds:.0f} s"] if plan.seconds is not None else []
    names = [f"{', '.join(one.component.services)} {one.downtime:.0f} s" for one in stopped]
    parts += [f"stand still: {'; '.join(names)}"] if names else ["nothing stands still"]
    parts += [f"writers ({', '.join(plan.writers)}) about {plan.writers_stop:.0f} s"] if plan.writers else []
    parts += [f"{len(plan.problems)} problems"] if plan.problems else []
    parts += (
        [f"{len(plan.failing)} of {len(plan.failing) + len(plan.targets)} targets fail"] if plan.failing else []
    )
    return BackupReport(
        stack=work.found.name,
        project=work.name,
        mode="plan",
        headline="; ".join(parts),
        exit_code=Exit.REFUSED if plan.problems else Exit.FAILED if plan.failing else Exit.DONE,
        plan=plan_rows(plan),
        errors=[*plan.problems, *plan.failing],
        waived=[f"{waiver.what}: {waiver.reason}" for waiver in plan.waived],
        notes=[*plan.notes, *(f"to {target.name}: {target.place}" for target in plan.targets)],
        writers=list(plan.writers),
    )


def clean(report: BackupReport, redactor: Redactor) -> BackupReport:
    """The report without any secret that a tool may have said."""
    hide = redactor.text
    lists = {key: [hide(line) for line in getattr(report, key)] for key in ("errors", "notes", "waived")}
    components = [
        one.model_copy(update={"reason": hide(one.reason), "holds": hide(one.holds)}) for one in report.components
    ]
    return report.model_copy(update={**lists, "components": components, "headline": hide(report.headline)})

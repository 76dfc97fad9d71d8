"""Verifying a stack: is it up, is it ready, does it work; and telling when that changes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import yaml

import compose
from blocks.alert import AlertWebhook
from blocks.engine import Engine
from blocks.home import Home
from blocks.lock import lock_holder
from blocks.verdict_store import VerdictStore
from compose.stack.catalogue import Catalogue, parse_catalogue
from compose.stack.errors import Failed, OpsError
from compose.stack.observed import Observed
from compose.stack.redact import Redactor, is_secret_name, url_password
from compose.stack.report_verify import alert_of, as_dict, rows, run_record
from compose.stack.verdicts import Change, Finding, Level, Mark, Report, Verdict, judge, level_to_run, merge
from compose.stack.verification import VerifyRequest, absent, wanted_services
from tasks.checks import Checks, timed
from tasks.operate import Opened, open_stack
from tasks.stacks import kept_stacks, known_variables, named, project_of, redactor_for
from tasks.steps import Plainly, Steps

log = logging.getLogger("ops.verify")
AGAIN_WITHIN = 15.0
CATALOGUE = Path(compose.__file__).parent / "models.yaml"


@dataclass
class Verified:
    """A verification and what it changed.

    Args:
        change: News, if the verdict is another one than before.
        history: Earlier verifications, oldest first.
    """

    report: Report
    change: Change | None = None
    history: list[dict[str, object]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """True when every service that can be checked passed."""
        return self.report.passed

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        return self.report.sentence

    def rows(self) -> list[dict[str, str]]:
        """The table of the services."""
        return rows(self.report, self.history)

    def as_dict(self) -> dict[str, object]:
        """Everything, for programs."""
        return as_dict(self.report, self.change)


def verify_stack(
    request: VerifyRequest,
    *,
    home: Home | None = None,
    runner: Steps | None = None,
    webhook: AlertWebhook | None = None,
    holding: bool = False,
    connect: Callable[[], Engine] = Engine.connect,
) -> Verified:
    """Verify a stack up to a level, remember the verdict, and tell when it changed.

    Args:
        request: Which stack, and how deep.
        home: State directory; found from the environment by default.
        runner: Executes the steps, one per level; plain code by default.
        webhook: Who is told of a change; HEALTH_ALERT_WEBHOOK by default.
        holding: True for a caller that holds the stack's lock itself and verifies under it.
        connect: Reaches the engine.

    Raises:
        Refused: No such stack; or its files cannot be understood, and nobody has deployed or verified it yet.
    """
    home, runner, began = home or Home.find(), runner or Plainly(), time.time()
    try:
        opened = open_stack(home, request)
        redactor = redactor_for(home, opened.stack, known_variables(opened.found.project, opened.cli))
    except OpsError as error:
        report, store = _unread(home, request, began, error)
    else:
        store = VerdictStore(opened.found.state)
        level = level_to_run(request.level, store.standing())
        empty = Report(opened.found.name, opened.project, level, began, raised=level is not request.level)
        try:
            report = _look(empty, opened, connect(), store, runner, holding)
        except OpsError as error:
            report = _all_failed(empty, opened, error.what)
        report = _redacted(report, redactor)
    webhook = webhook or AlertWebhook.from_settings(os.environ, home.salvaged())
    return _settle(report, store, webhook)


def _unread(home: Home, request: VerifyRequest, began: float, error: OpsError) -> tuple[Report, VerdictStore]:
    """The failure of a stack whose files cannot be read any more, and its memory.

    Raises:
        OpsError: Nobody has deployed or verified it yet: there is nothing to watch, the request is wrong.
    """
    project = request.project_name or project_of(request.files)
    store = VerdictStore(home.stack(named(home, project) if request.files else request.stack))
    known = bool(project) if request.files else request.stack in kept_stacks(home)
    if not known or (store.standing() is None and not (store.path / "releases").is_dir()):
        raise error
    redactor = Redactor().also(value for name, value in home.salvaged().items() if is_secret_name(name))
    name = store.path.name
    trouble = redactor.text(f"it cannot be read: {error}")
    return Report(name, project or name, request.level, began, note=taken_down(store), trouble=trouble), store


def _look(
    report: Report, opened: Opened, engine: Engine, store: VerdictStore, runner: Steps, holding: bool
) -> Report:
    observed = engine.observe(opened.project)
    note = maintenance(opened, engine, observed, store, holding)
    if note:
        return replace(report, note=note)
    checks = Checks(opened.stack, observed, engine, _catalogue())
    services = wanted_services(opened.stack)
    seconds: list[tuple[Level, float]] = []
    for level in report.level.included:
        seconds.append(
            (level, runner.step(f"ask every service: {level}", partial(_level, checks, level, services)))
        )
    if checks.failed:
        if sum(took for _, took in seconds) < AGAIN_WITHIN:
            runner.step("look again at what failed", lambda: ask_again(checks, report.level))
        note = maintenance(opened, engine, observed, store, holding)
    secret = _secrets(checks.observed)
    findings = [replace(f, detail=secret.text(f.detail), check=secret.text(f.check)) for f in checks.findings]
    return replace(report, services=merge(report.level, findings, services), seconds=tuple(seconds), note=note)


def _level(checks: Checks, level: Level, services: Iterable[str]) -> float:
    return timed(lambda: checks.run(level, services))


def ask_again(checks: Checks, level: Level) -> None:
    """Look at the services that failed again, and ask them once more: one slow answer is no failure.

    What fails twice has failed; what passes now passes, and says that it did so at the second try. Nobody is
    asked again when a container does not run: that is a fact, and what depends on it fails for that reason.
    """
    failed = checks.failed
    checks.observed = checks.engine.observe(checks.stack.project)
    if any(absent(checks.stack, name, checks.observed.of(name)) for name in failed):
        return
    checks.findings = [f for f in checks.findings if f.service not in failed]
    for each in level.included:
        checks.run(each, failed)
    better = set(failed) - set(checks.failed)
    checks.findings = [_second(f) if f.service in better else f for f in checks.findings]


def _second(finding: Finding) -> Finding:
    if finding.mark is not Mark.PASSED:
        return finding
    return replace(finding, detail=f"{finding.detail} (at the second try)")


def maintenance(
    opened: Opened, engine: Engine, observed: Observed, store: VerdictStore, holding: bool = False
) -> str:
    """Why the stack is not judged now, empty when it is: somebody works on it, or took it down on purpose.

    A stack that runs again after `down` is judged, whoever started it.
    """
    holder = None if holding else lock_holder(engine.id, opened.project)
    if holder:
        return holder
    if store.down() and any(container.running for container in observed.containers):
        store.clear_down()
    return taken_down(store)


def taken_down(store: VerdictStore) -> str:
    """Who took the stack down on purpose, and when; empty when nobody did."""
    meant = store.down()
    if not meant:
        return ""
    since = datetime.fromtimestamp(float(meant.get("since") or 0), UTC).isoformat(timespec="seconds")
    return f"taken down by {meant['by']} at {since}"


def _settle(report: Report, store: VerdictStore, webhook: AlertWebhook | None) -> Verified:
    """Remember the verdict; one at a time, so that a change is told once."""
    with store.locked():
        history = store.history()
        standing, change = judge(report, store.standing())
        pending = store.pending() + ([alert_of(change)] if change and webhook else [])
        store.keep(standing, pending)
        if webhook and pending:
            store.keep(standing, _deliver(webhook, pending))
        store.remember(run_record(report))
    if change:
        log.log(logging.INFO if change.now is Verdict.PASSED else logging.ERROR, "%s", change.sentence)
    return Verified(report, change, history)


def _deliver(webhook: AlertWebhook, pending: list[dict[str, object]]) -> list[dict[str, object]]:
    """Send the alerts in order; those that were not taken, for the next time."""
    for index, alert in enumerate(pending):
        try:
            webhook.send(alert)
        except Failed as error:
            log.warning("%s; it is sent again at the next verification", error)
            return pending[index:]
    return []


def _all_failed(report: Report, opened: Opened, why: str) -> Report:
    names = wanted_services(opened.stack)
    findings = [Finding(name, Level.ALIVE, Mark.FAILED, "engine", why) for name in names]
    return replace(report, services=merge(report.level, findings, names))


def _redacted(report: Report, redactor: Redactor) -> Report:
    services = tuple(
        replace(
            service,
            findings=tuple(
                replace(f, detail=redactor.text(f.detail), check=redactor.text(f.check)) for f in service.findings
            ),
        )
        for service in report.services
    )
    return replace(report, services=services)


def _secrets(observed: Observed) -> Redactor:
    """What the containers' environments hold that nobody may see."""
    given = [pair for container in observed.containers for pair in container.environment.items()]
    found = [value for key, value in given if is_secret_name(key) and value]
    return Redactor().also([*found, *(password for _, value in given if (password := url_password(value)))])


def _catalogue() -> Catalogue:
    try:
        content = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return Catalogue()
    except (OSError, yaml.YAMLError) as error:
        raise OpsError(f"cannot be read: {error}", where=str(CATALOGUE)) from None
    return parse_catalogue(content, CATALOGUE.name)

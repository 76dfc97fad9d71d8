"""Reports say what was done, and no secret."""

from __future__ import annotations

import pytest

from compose.stack.errors import Refused
from compose.stack.observed import Observed
from compose.stack.plan import Evidence, decide
from compose.stack.redact import Redactor
from compose.stack.report import DeployReport, plan_rows
from compose.stack.service import parse_stack
from flows.deploy_stack import clean, hiding

CANARY = "canary-in-a-check"


def test_nothing_of_a_report_holds_a_secret() -> None:
    """A health check and a probe may be given a password: neither the plan nor anything else shows it."""
    stack = parse_stack(
        {
            "name": "p",
            "services": {
                "redis": {"image": "r", "healthcheck": {"test": ["CMD-SHELL", f"redis-cli -a {CANARY} ping"]}},
                "app": {"image": "a", "x-ops": {"probe": {"exec": ["check", f"--password={CANARY}"]}}},
            },
        }
    )
    report = DeployReport(
        stack="p",
        project="p",
        mode="plan",
        plan=plan_rows(decide(stack, Observed(), Evidence())),
        findings=[f"a finding {CANARY}"],
        orphans=[f"p-{CANARY}-1"],
    )
    cleaned = clean(report, Redactor().also([CANARY]))
    assert CANARY not in cleaned.model_dump_json()
    assert {row["service"]: row["because"] for row in cleaned.plan} == {
        "redis": "equivalent of the health check `redis-cli -a ••• ping`",
        "app": "x-ops.probe",
    }
    assert cleaned.plan[0]["volumes"] == []


def test_an_error_holds_no_secret() -> None:
    """Compose may quote a value when it refuses: of a plan, too, only the rest of the sentence is shown."""
    with pytest.raises(Refused, match="cannot parse •••"), hiding(Redactor().also([CANARY])):
        raise Refused(f"cannot parse {CANARY}")

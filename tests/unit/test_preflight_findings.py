"""Findings: weighed, accepted by name, refused all at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.errors import Exit, Refused
from compose.stack.preflight import Finding, Findings, PreflightRefused, Severity
from compose.stack.preflight.codes import CODES
from compose.stack.preflight.documentation import documentation
from compose.stack.preflight.findings import check_accept, judge

PORT = Finding("port-taken", "held by nginx (pid 1)", "web", "ports.0")
SECRET = Finding("default-secret", "PASSWORD has a value that everybody knows", "db", "environment.PASSWORD")
INFO = Finding("no-healthcheck", "no health check in the file", "web")


def test_all_errors_are_in_one_refusal() -> None:
    """A person corrects everything at once, not one problem per attempt."""
    found = judge([INFO, SECRET, PORT], own=True)
    with pytest.raises(PreflightRefused) as caught:
        found.refuse()
    assert caught.value.code is Exit.REFUSED
    assert "web.ports.0: held by nginx" in str(caught.value)
    assert "db.environment.PASSWORD" in str(caught.value)
    assert "no health check" not in str(caught.value)
    assert "--accept port-taken" in str(caught.value)


def test_severity_depends_on_whose_stack_it_is() -> None:
    """A default secret is an error in our own stacks and a warning elsewhere."""
    assert judge([SECRET], own=True).errors
    assert judge([SECRET], own=False).warnings == (SECRET,)


@pytest.mark.parametrize("accept", ["port-taken", "port-taken:web"])
def test_an_accepted_error_does_not_refuse_and_is_recorded(accept: str) -> None:
    """The release must know which risk was taken."""
    found = judge([PORT], own=False).accepting([accept])
    assert found.refuse() is found
    assert [item.code for item in found.accepted] == ["port-taken"]
    assert json.loads(json.dumps(found.record()))[0]["accepted"] is True


def test_accepting_for_one_service_leaves_the_others() -> None:
    """CODE:SERVICE takes the risk for one service only."""
    other = Finding("port-taken", "held by x", "api", "ports.0")
    found = judge([PORT, other], own=False).accepting(["port-taken:web"])
    assert found.errors == (other,)


def test_unknown_and_hopeless_codes_are_refused_together() -> None:
    """A typing error in --accept must not pass for an accepted risk."""
    with pytest.raises(Refused) as caught:
        check_accept(["prot-taken", "cpu-limit", "port-taken"])
    assert "prot-taken: no such code" in str(caught.value)
    assert "cpu-limit: cannot be accepted" in str(caught.value)


def test_scope_keeps_what_concerns_it() -> None:
    """With --only, problems of other services are not told, those of the machine are."""
    shared = Finding("duplicate-port", "twice", "api", "ports.0", also=("web",))
    disk = Finding("disk-full", "no space", key="disk:/")
    found = judge([PORT, SECRET, shared, disk], own=False).concerning({"web"})
    assert set(found) == {PORT, shared, disk}


def test_the_page_is_made_from_the_table() -> None:
    """docs/preflight.md is current: make it again with the command that stands in it."""
    page = Path(__file__).resolve().parents[2] / "docs/preflight.md"
    assert page.read_text(encoding="utf-8") == documentation()


def test_codes_are_short_and_say_what_to_do() -> None:
    """A code is typed by people; its row has an advice."""
    for name, code in CODES.items():
        assert re.fullmatch(r"[a-z-]{3,30}", name)
        assert code.title
        assert code.next
        assert code.own is None or code.own is not code.severity


@given(st.lists(st.sampled_from(sorted(CODES)), max_size=30), st.booleans())
def test_worst_first_and_none_lost(codes: list[str], own: bool) -> None:
    """Rendering keeps every finding once, worst first."""
    found = judge([Finding(code, f"problem {index}") for index, code in enumerate(codes)], own=own)
    order = [Severity.ERROR, Severity.WARNING, Severity.INFO]
    ranks = [order.index(item.severity) for item in found]
    assert ranks == sorted(ranks)
    assert len(found) == len(codes) == len(found.lines()) == len(found.rows())
    assert found.markdown().count("\n") == (len(codes) + 2 if codes else 1)


def test_adding_passes_keeps_what_was_accepted() -> None:
    """Both passes end in one report."""
    first = judge([PORT], own=False).accepting(["port-taken"])
    assert (first + Findings((INFO,))).accepted == first.accepted

"""Keys that the installed Compose would ignore."""

from __future__ import annotations

import pytest

from compose.stack.preflight.compose_checks import check_compose
from compose.stack.service import parse_stack

HOOKED = parse_stack({"services": {"app": {"image": "a:1", "post_start": [{"command": ["touch", "/x"]}]}}})


@pytest.mark.parametrize(("version", "found"), [("2.26.1-4", 1), ("2.30.0", 0), ("", 0)])
def test_hooks_need_a_compose_that_runs_them(version: str, found: int) -> None:
    """A hook is an error under 2.30, and nothing where Compose runs it or its version is unknown."""
    findings = list(check_compose(HOOKED, version))
    assert len(findings) == found
    assert all(finding.place == "app.post_start" for finding in findings)

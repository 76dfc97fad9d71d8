"""Names of runs, as people read them in the UI."""

from __future__ import annotations

import pytest

from compose.stack.verdicts import Level
from flows.naming import said


@pytest.mark.parametrize(
    ("verb", "word", "given", "name"),
    [
        ("deploy", "mode", {"mode": "apply", "stack": "shop", "files": None}, "deploy shop"),
        ("deploy", "mode", {"mode": "plan", "stack": "shop"}, "plan shop"),
        ("deploy", "mode", {"mode": "apply", "stack": "light", "files": ["/srv/shop/compose.yml"]}, "deploy shop"),
        ("deploy", "mode", {"files": ["/srv/x/a.yml"], "project_name": "shop"}, "deploy shop"),
        ("verify", "level", {"level": Level.WORKING, "stack": "light"}, "verify working light"),
        ("rollback", "", {"stack": "light", "release": None}, "rollback light"),
    ],
)
def test_name(verb, word, given, name):
    """The verb, how, and what it is about; never the stack of the form when files were given."""
    assert said(verb, word, given) == name

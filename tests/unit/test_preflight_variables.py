"""Variables of a compose file: read as Compose reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compose.stack.preflight.variables import BAD, expand, missing
from tests.preflighting import sources


def names(text: str, **environment: str) -> list[tuple[str, bool]]:
    """What the text lacks."""
    return [(need.name, need.required) for need in missing(text, environment)]


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("plain", []),
        ("$A and ${B}", [("A", False), ("B", False)]),
        ("${A-x}${A:-x}", []),
        ("${A:-${B}}", [("B", False)]),
        ("${A:-${B:-${C}}}", [("C", False)]),
        ("${A?}${B:?set it}", [("A", True), ("B", True)]),
        ("${A:+${B}}", []),
        ("$$A $${B}", []),
        ("cost: $5", [(BAD, True)]),
        ("${A", [(BAD, True)]),
        ("${1}", [(BAD, True)]),
        ("100%$", [(BAD, True)]),
    ],
)
def test_missing(text: str, lacking: list[tuple[str, bool]]) -> None:
    """Defaults, requirements, nesting and escapes count as in Compose."""
    assert names(text) == lacking


def test_set_and_empty_differ_only_with_a_colon() -> None:
    """`:?` and `:-` mean empty as well."""
    assert names("${A?}", A="") == []
    assert names("${A:?}", A="") == [("A", True)]
    assert names("$A", A="") == []
    assert expand("${A-x}${A:-y}", {"A": ""}) == "y"
    assert expand("${A:+x${B}}", {"A": "1", "B": "2"}) == "x2"
    assert expand("$$A", {"A": "1"}) == "$A"


@given(st.text(alphabet="${}:-?+AB_1 x", max_size=40))
def test_any_text_is_read(text: str) -> None:
    """Nothing that a person can write makes the reader fall over."""
    list(missing(text, {"A": "1"}))
    expand(text, {"A": "1"})


@given(st.text(max_size=40))
def test_text_without_dollar_stays(text: str) -> None:
    """Only dollar signs mean anything."""
    plain = text.replace("$", "")
    assert expand(plain, {}) == plain
    assert names(plain) == []


def test_sources_do_not_show_values() -> None:
    """The variables of the environment never reach a log through a representation."""
    assert "canary" not in repr(sources("services: {}", {"PASSWORD": "canary"}))

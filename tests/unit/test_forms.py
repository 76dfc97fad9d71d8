"""Forms: dropdowns, order, plain fields."""

from __future__ import annotations

import pytest

from compose.stack.forms import form

SCHEMA = {
    "title": "Parameters",
    "type": "object",
    "properties": {
        "stack": {"type": "string", "default": "light", "position": 0, "title": "stack"},
        "on_failure": {"type": "string", "enum": ["stop", "rollback"], "position": 1, "title": "on_failure"},
        "only": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}], "default": None},
        "level": {"$ref": "#/definitions/Level", "default": "ready", "description": "How deep."},
    },
    "required": ["level"],
    "definitions": {"Level": {"enum": ["alive", "ready"], "type": "string", "title": "Level"}},
}


def test_dropdown():
    """What there is to choose becomes the field's values."""
    assert form(SCHEMA, (), {"stack": ("a", "b")})["properties"]["stack"]["enum"] == ["a", "b"]


def test_choices_of_a_list_are_those_of_its_items():
    """Several of them can be chosen; none is an empty list."""
    only = form(SCHEMA, (), {"only": ("web",)})["properties"]["only"]
    assert only["items"] == {"type": "string", "enum": ["web"]}
    assert only["default"] == []
    assert "anyOf" not in only


def test_order_titles_and_what_is_left_out():
    """The form shows what it is told to, in that order, in words."""
    made = form(SCHEMA, ("on_failure", "stack"), {})
    assert [(f["position"], f["title"]) for f in made["properties"].values()] == [(0, "On failure"), (1, "Stack")]
    assert made["required"] == []


def test_enumeration_stands_in_its_place():
    """A reference to an enumeration is shown as its values, with the field's own description."""
    level = form(SCHEMA, (), {})["properties"]["level"]
    assert level["enum"] == ["alive", "ready"]
    assert (level["default"], level["description"]) == ("ready", "How deep.")


def test_unknown_parameter():
    """A name that the flow has not is refused."""
    with pytest.raises(ValueError, match="mood"):
        form(SCHEMA, ("mood",), {})


def test_schema_itself_is_not_changed():
    """The flow's own schema stays as it is."""
    form(SCHEMA, (), {"stack": ("a",)})
    assert "enum" not in SCHEMA["properties"]["stack"]

"""Forms of the Prefect UI: a flow's parameter schema, with what only this machine knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def form(schema: Mapping[str, Any], shown: Sequence[str], choices: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The schema that a deployment's form is drawn from, and that its parameters are checked by.

    Args:
        schema: JSON schema of the flow's parameters.
        shown: Parameters in the order of the form; all, in the flow's order, when empty. The others keep their
            defaults.
        choices: What may be chosen, by parameter: dropdowns; of a list, each of its items.

    Raises:
        ValueError: `shown` names a parameter that the flow has not.
    """
    properties: Mapping[str, Mapping[str, Any]] = schema["properties"]
    unknown = [name for name in shown if name not in properties]
    if unknown:
        raise ValueError(f"the flow has no parameter {', '.join(unknown)}")
    definitions: Mapping[str, Mapping[str, Any]] = schema.get("definitions") or {}
    made = {}
    for position, name in enumerate(shown or properties):
        field = _plain(properties[name], definitions)
        title = name.replace("_", " ").capitalize()
        made[name] = {**_offering(field, choices.get(name, ())), "title": title, "position": position}
    required = [name for name in schema.get("required") or () if name in made]
    return {**schema, "properties": made, "required": required}


def _plain(field: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """A field as the UI shows it best: an enumeration in its place, an optional list as one that may be empty."""
    lists = next((option for option in field.get("anyOf") or () if option.get("type") == "array"), None)
    if lists is not None:
        rest = {key: value for key, value in field.items() if key != "anyOf"}
        return {**rest, **lists, "default": field.get("default") or []}
    meant = definitions.get(str(field.get("$ref", "")).rpartition("/")[2])
    if meant is None:
        return dict(field)
    return {"enum": meant["enum"], "type": meant["type"], **{k: v for k, v in field.items() if k != "$ref"}}


def _offering(field: Mapping[str, Any], choices: Sequence[str]) -> dict[str, Any]:
    if not choices:
        return dict(field)
    if field.get("type") == "array":
        return {**field, "items": {**field["items"], "enum": list(choices)}}
    return {**field, "enum": list(choices)}

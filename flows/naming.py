"""What a run is called in the Prefect UI: a verb and what it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

from prefect.runtime import flow_run


def named(verb: str, word: str = "") -> Callable[[], str]:
    """The name of a run, made from its parameters: `deploy shop`, `plan shop`, `verify working shop`.

    Args:
        verb: What the flow does.
        word: Parameter that says how; `apply`, the ordinary way, is not said, and `plan` stands for the verb.
    """
    return lambda: said(verb, word, flow_run.parameters)


def said(verb: str, word: str, given: Mapping[str, Any]) -> str:
    """The same, of given parameters."""
    how = str(getattr(given.get(word), "value", given.get(word) or ""))
    words = {"": [verb], "apply": [verb], "plan": ["plan"]}.get(how, [verb, how])
    return " ".join([*words, subject(given)])


def subject(given: Mapping[str, Any]) -> str:
    """What a run is about: a stack kept by name, or the project that its files are of."""
    files = given.get("files") or []
    if not files:
        return str(given.get("stack") or "")
    return str(given.get("project_name") or PurePath(files[0]).parent.name or PurePath(files[0]).name)

"""Options that many commands share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from compose.stack.errors import Refused
from compose.stack.request import StackRef

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program instead of a table.")]
Services = Annotated[list[str] | None, typer.Argument(help="Services; all by default.", show_default=False)]

_STACK_OPTIONS: dict[str, Any] = {
    "stack": Annotated[str, typer.Option(help="A stack that is known by name (./ops stack list).")],
    "file": Annotated[
        list[str] | None, typer.Option("--file", help="A compose file of any project; may be repeated.")
    ],
    "env_file": Annotated[
        list[str] | None, typer.Option("--env-file", help="Variables for the file; may be repeated.")
    ],
    "project_name": Annotated[str, typer.Option("--project-name", "-p", help="Compose project name.")],
    "profile": Annotated[
        list[str] | None, typer.Option("--profile", help="Profile to activate; may be repeated.")
    ],
}


def takes_stack(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that choose a stack; it receives them as a `StackRef` named `ref`."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=hints[name])
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "ref"
    ]
    defaults = {"stack": "light", "project_name": ""}
    extra = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name), annotation=annotation)
        for name, annotation in _STACK_OPTIONS.items()
    ]

    @functools.wraps(command)
    def with_ref(**values: Any) -> Any:
        chosen = {name: values.pop(name) for name in _STACK_OPTIONS}
        return command(ref=stack_ref(**chosen), **values)

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own]
    with_ref.__signature__ = inspect.Signature([*parameters, *extra])  # type: ignore[attr-defined]
    with_ref.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *extra)}
    return with_ref


def stack_ref(
    stack: str, file: list[str] | None, env_file: list[str] | None, project_name: str, profile: list[str] | None
) -> StackRef:
    """The stack that the options mean; paths are from where the user stands."""
    if file and stack != "light":
        raise Refused("both a name and files are given", where=stack, next="give --stack or --file")
    return StackRef(
        stack=stack,
        files=_absolute(file),
        env_files=_absolute(env_file),
        project_name=project_name,
        profiles=list(profile or ()),
    )


def _absolute(paths: list[str] | None) -> list[str]:
    return [str(Path(path).absolute()) for path in paths or ()]

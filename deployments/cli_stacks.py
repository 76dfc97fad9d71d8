"""Commands about the stacks that are known by name: add, list, remove."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from compose.stack.commands import Project
from compose.stack.errors import Refused
from compose.stack.request import StackRef
from deployments import console
from deployments.cli_options import Json, stack_ref
from deployments.session import Session

stacks = typer.Typer(help="The stacks that are known by name.", no_args_is_help=True)


@stacks.command("add")
def add(
    name: str,
    file: Annotated[list[str], typer.Option("--file", help="A compose file; may be repeated.")],
    env_file: Annotated[list[str] | None, typer.Option("--env-file")] = None,
    project_name: Annotated[str, typer.Option("--project-name", "-p")] = "",
    profile: Annotated[list[str] | None, typer.Option("--profile")] = None,
) -> None:
    """Keep a compose project by name, for every command and for the forms in the UI."""
    from tasks import operate
    from tasks.stacks import keep_stack, own_stacks

    session = Session.open()
    if name in own_stacks() or not name.replace("-", "").replace("_", "").isalnum():
        raise Refused("this name is taken or has other characters than letters, digits, - and _", where=name)
    ref = stack_ref("light", file, env_file, project_name, profile)
    opened = operate.open_stack(session.home, ref)
    keep_stack(
        session.home,
        name,
        Project(tuple(ref.files), opened.project, tuple(ref.env_files), tuple(ref.profiles)),
    )
    console.say(f"{name}: project {opened.project} with {len(opened.stack.services)} services is kept")
    _refresh_forms(session)


@stacks.command("list")
def list_stacks(json: Json = False) -> None:
    """List the stacks that are known by name."""
    from tasks.stacks import kept_stacks, resolve

    home = Session.open().home
    found = [(name, resolve(home, StackRef(stack=name)).project) for name in kept_stacks(home)]
    if json:
        console.show_json([{"name": name, **asdict(project)} for name, project in found])
        return
    console.table(("NAME", "PROJECT", "FILES"), [(n, p.name, " ".join(p.files)) for n, p in found])


@stacks.command("remove")
def remove(name: str) -> None:
    """Forget a stack's name; its containers and releases stay as they are."""
    session = Session.open()
    record = session.home.stack(name) / "stack.json"
    if not record.exists():
        raise Refused("no added stack of this name", where=name, next="./ops stack list")
    record.unlink()
    console.say(f"{name}: forgotten; nothing that runs was touched")
    _refresh_forms(session)


def _refresh_forms(session: Session) -> None:
    """Give the UI's dropdowns the new list, when the server runs; `up` does it otherwise."""
    if not session.prefect.api.accepts_us():
        console.say("the Prefect server does not run: ./ops up brings the UI's forms up to date")
        return
    session.use_prefect()
    from deployments.register import register

    register(session.home)
    console.say("the UI's forms know it")

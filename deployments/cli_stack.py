"""Commands about a stack that runs: status, logs, restart, down, destroy."""

from __future__ import annotations

from typing import Annotated

import typer

from compose.stack.errors import Exit, Refused
from compose.stack.request import StackRef
from compose.stack.status import ServiceStatus
from deployments import console
from deployments.cli_options import Json, Services, takes_stack
from deployments.session import Session


@takes_stack
def status(ref: StackRef, json: Json = False) -> None:
    """Show how each service is doing, how it was proven, and where it is reached."""
    from tasks import operate

    project, rows = operate.status(Session.open().home, ref)
    if json:
        console.show_json({"project": project, "services": [row.as_dict() for row in rows]})
    else:
        show_status(rows)
    if not all(row.right for row in rows):
        raise typer.Exit(Exit.FAILED)


def show_status(rows: tuple[ServiceStatus, ...]) -> None:
    """The table of a stack's services."""
    columns = ("SERVICE", "STATE", "READY AFTER", "PROVEN BY", "IMAGE", "FROM", "URL")
    cells = [
        (
            row.service,
            row.state,
            None if row.ready_after is None else f"{row.ready_after:.1f} s",
            row.proof,
            row.image,
            row.origin,
            " ".join(row.urls),
        )
        for row in rows
    ]
    right = {row.service for row in rows if row.right}
    console.table(columns, cells, styles=lambda row: "" if row[0] in right else console.BAD)


@takes_stack
def logs(
    ref: StackRef,
    services: Services = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come.")] = False,
    since: Annotated[str, typer.Option(help="A time, or how long ago: 10m, 2h.")] = "",
    lines: Annotated[int, typer.Option("--lines", "-n", help="Last lines of each service; 0 for all.")] = 100,
) -> None:
    """Print what services said."""
    from tasks import operate

    count = 0 if since else lines
    code = operate.logs(Session.open().home, ref, services or [], follow=follow, since=since, lines=count)
    raise typer.Exit(code)


@takes_stack
def restart(ref: StackRef, services: Annotated[list[str], typer.Argument(help="Services to restart.")]) -> None:
    """Restart services in place; what depends on them is not touched."""
    from tasks import operate

    operate.restart(Session.open().home, ref, services)
    console.say(f"restarted {', '.join(services)}")


@takes_stack
def down(
    ref: StackRef,
    prefect: Annotated[bool, typer.Option("--prefect", help="Stop the Prefect server and worker too.")] = False,
) -> None:
    """Stop a stack and remove its containers; every volume is kept."""
    from tasks import operate

    session = Session.open()
    project, volumes = operate.down(session.home, ref)
    console.say(f"{project} is down; kept volumes: {', '.join(volumes) or 'it has none'}")
    if prefect:
        from tasks.backup.standing_watch import leave_watch

        leave_watch(session.home)
        stopped = session.prefect.stop()
        console.say(f"stopped: {', '.join(f'Prefect {name}' for name in stopped) or 'nothing, none ran'}")


@takes_stack
def destroy(
    ref: StackRef,
    yes_destroy: Annotated[
        str, typer.Option(metavar="PROJECT", help="The project's name, instead of typing it.")
    ] = "",
) -> None:
    """Remove a stack with all its data, after a list of what will be lost."""
    from tasks import operate

    home = Session.open().home
    lost = operate.inventory(home, ref)
    if lost.empty:
        console.say(f"{lost.project}: nothing there")
        return
    console.say(f"This removes from {lost.project}, for good:", style=console.BAD)
    rows: list[tuple[str, str, str | None]] = [("container", name, None) for name in lost.containers]
    rows += [("volume", name, _size(size)) for name, size in lost.volumes]
    rows += [("network", name, None) for name in lost.networks]
    if lost.images:
        rows.append(("kept images", f"{len(lost.images)} tags of earlier releases", None))
    console.table(("WHAT", "NAME", "SIZE"), rows)
    typed = yes_destroy or _ask(lost.project)
    if typed != lost.project:
        raise Refused(f"{typed or 'nothing'} is not the project's name: nothing was removed", where=lost.project)
    operate.destroy(home, ref)
    console.say(f"{lost.project} is removed")


def _ask(project: str) -> str:
    if not console.out.is_terminal:
        raise Refused(
            "not a terminal, so nobody can confirm: nothing was removed",
            where=project,
            next=f"./ops destroy --yes-destroy {project}",
        )
    return str(typer.prompt(f"Type the project's name ({project}) to go on", default="", show_default=False))


def _size(size: int | None) -> str:
    if size is None:
        return "?"
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"

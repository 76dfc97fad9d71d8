"""Commands about backups: make one, list them, prove, keep, copy and let them go."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from compose.stack.backup.outcome import WorkReport
from compose.stack.backup.plan import megabytes
from compose.stack.backup.report import BackupReport, component_rows
from compose.stack.backup.request import (
    BackupRequest,
    CopyRequest,
    ExpireRequest,
    PinRequest,
    RekeyRequest,
    VerifyBackupRequest,
)
from compose.stack.errors import Exit, Refused
from compose.stack.request import StackRef
from deployments import console
from deployments.cli_options import Json, takes_stack
from deployments.session import Session

To = Annotated[
    list[str] | None,
    typer.Option(
        "--to", metavar="TARGET", help="A target's name, a directory or s3://bucket/prefix; may be repeated."
    ),
]
Components = Annotated[
    list[str] | None, typer.Option("--only", metavar="COMPONENT", help="Only these components.")
]
Identity = Annotated[
    str,
    typer.Option(metavar="FILE|fd:N", help="The key that opens what is encrypted: a file, or an open descriptor."),
]
Trust = Annotated[bool, typer.Option("--trust", help="Take a backup that this home has not signed.")]
Backup = Annotated[str, typer.Argument(metavar="ID", help="A backup's id, or `last`.")]


@takes_stack
def backup(
    ref: StackRef,
    to: To = None,
    only: Components = None,
    mode: Annotated[
        str, typer.Option(help="apply, or plan: what would be saved, how large, who stands still.")
    ] = "apply",
    verify: Annotated[
        str, typer.Option(help="content has each store's own tool read everything on its way.")
    ] = "none",
    consistency: Annotated[
        bool, typer.Option("--consistency", help="One moment for all stores; writers stand still.")
    ] = False,
    writers_stop: Annotated[float, typer.Option(help="Seconds that the writers may stand still.")] = 120.0,
    reread: Annotated[
        bool, typer.Option("--reread", help="Read what goes into the pool again, though it looks unchanged.")
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt", help="Take over a target: another installation's that is gone, or ours that is empty."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Save every store, volume and file of a stack, so that it can be brought back."""
    from deployments import calls_backup

    if mode not in {"apply", "plan"} or verify not in {"none", "content"}:
        raise Refused("mode is apply or plan, verify is none or content", where="./ops backup")
    request = BackupRequest(
        **ref.model_dump(), mode=mode, to=list(to or ()), only=list(only or ()), verify=verify,
        consistency=consistency, writers_stop=writers_stop, reread=reread, adopt=adopt,
    )  # fmt: skip
    session = Session.open()
    with console.live("backup"):
        report = calls_backup.backup(session, request)
    if json:
        console.show_json(report.model_dump(mode="json"))
    elif mode == "plan":
        show_plan(report)
    else:
        show_backup(report)
    raise typer.Exit(report.exit_code)


def show_plan(report: BackupReport) -> None:
    """What would be saved, how large, and who stands still."""
    keys = ("component", "kind", "how", "bytes", "seconds", "stands still", "downtime", "why")
    console.table(
        [key.upper() for key in keys], [[_plain(key, row.get(key)) for key in keys] for row in report.plan]
    )
    console.lines("notes", report.notes)
    console.lines("stands against it", report.errors)
    console.say(report.headline, style=console.BAD if report.failed else console.GOOD)


def _plain(key: str, value: object) -> str:
    if key == "bytes" and isinstance(value, int):
        return megabytes(value)
    return "" if value is None else f"{value:.1f} s" if isinstance(value, float) else str(value)


def show_backup(report: BackupReport) -> None:
    """What was saved, and where it is."""
    rows = component_rows(report)
    if rows:
        bad = {one.component for one in report.components if not one.ok}
        cells = [[_plain(key, value) for key, value in row.items()] for row in rows]
        columns = [key.upper() for key in rows[0]]
        console.table(columns, cells, styles=lambda row: console.BAD if row[0] in bad else "")
    for target in report.targets:
        said = f"{target.target}: {target.state}" + (f" ({target.reason})" if target.reason else "")
        console.say(said, style=console.GOOD if target.ok else console.BAD)
    console.lines("left out, because nothing encrypts it", report.left_out)
    console.lines("waived", report.waived)
    console.lines("notes", report.notes)
    console.say(report.headline, style=console.BAD if report.failed else console.GOOD)


@takes_stack
def backups(ref: StackRef, to: To = None, json: Json = False) -> None:
    """List the backups: age, size, growth, to which level proven, what expires when and why."""
    from tasks.backup import shelves

    found = shelves.gather(Session.open().home, ref, list(to or ()))
    if json:
        console.show_json(found.as_dict())
    else:
        for rows in (found.rows(), found.stores(), found.target_rows()):
            if rows:
                console.table([key.upper() for key in rows[0]], [list(row.values()) for row in rows])
                console.say("")
        console.lines("problems", found.problems)
        console.lines("notes", found.notes)
        console.say(found.freshness.sentence, style=console.GOOD if found.freshness.good else console.BAD)
    if found.problems:
        raise typer.Exit(Exit.FAILED)


@takes_stack
def verify_backup(
    ref: StackRef,
    identifier: Backup = "last",
    level: Annotated[
        str, typer.Option(help="bytes: every stored hash; content: each store's own full read.")
    ] = "bytes",
    to: To = None,
    identity: Identity = "",
    sample: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Fraction of the pool that is read; 1 is all.")
    ] = 1.0,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Prove that a backup can be read, and put on record to which level."""
    from deployments import calls_backup

    if level not in {"bytes", "content"}:
        raise Refused("is neither bytes nor content", where=f"--level {level}")
    request = VerifyBackupRequest(
        **ref.model_dump(), to=list(to or ()), id=identifier, level=level,
        sample=sample, identity=identity, trust=trust,
    )  # fmt: skip
    session = Session.open()
    with console.live("verify backup"):
        proven = calls_backup.work(session, "verify_backup", request)
    _show_work(proven, json)


@takes_stack
def pin(
    ref: StackRef,
    identifier: Backup = "last",
    reason: Annotated[str, typer.Option(help="Why it is kept.")] = "by hand",
    remove: Annotated[bool, typer.Option("--remove", help="Take the pin away.")] = False,
    to: To = None,
    json: Json = False,
) -> None:
    """Keep a backup whatever the policy says, or take that back."""
    from deployments import calls_backup

    request = PinRequest(**ref.model_dump(), to=list(to or ()), id=identifier, reason=reason, remove=remove)
    _show_work(calls_backup.work(Session.open(), "pin_backup", request), json)


@takes_stack
def copy(
    ref: StackRef,
    identifier: Backup = "last",
    to: To = None,
    source: Annotated[
        str, typer.Option("--from", metavar="TARGET", help="Where to read it; found by itself.")
    ] = "",
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Copy a backup to the targets that lack it, without touching the stores."""
    from deployments import calls_backup

    with console.live("copy"):
        request = CopyRequest(**ref.model_dump(), to=list(to or ()), id=identifier, source=source, trust=trust)
        done = calls_backup.work(Session.open(), "copy_backup", request)
    _show_work(done, json)


@takes_stack
def expire(
    ref: StackRef,
    apply: Annotated[
        bool, typer.Option("--apply", help="Really remove; without it only the reasons are shown.")
    ] = False,
    accept_drop: Annotated[
        str,
        typer.Option("--accept-drop", metavar="REASON", help="The last backup may be as small as it is: go on."),
    ] = "",
    to: To = None,
    json: Json = False,
) -> None:
    """Show what the retention policy keeps and lets go, and why; remove with --apply."""
    from deployments import calls_backup

    request = ExpireRequest(**ref.model_dump(), to=list(to or ()), apply=apply, accept_drop=accept_drop)
    done = calls_backup.work(Session.open(), "expire_backups", request)
    _show_work(done, json)


@takes_stack
def rekey(
    ref: StackRef,
    identity: Identity = "",
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="RECIPIENT", help="A recipient who can open it from now on."),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="RECIPIENT", help="One who cannot any more.")
    ] = None,
    to: To = None,
    json: Json = False,
) -> None:
    """Change who can open the backups that are there, the pool included."""
    from deployments import calls_backup

    with console.live("rekey"):
        request = RekeyRequest(
            **ref.model_dump(),
            to=list(to or ()),
            identity=identity,
            add=list(add or ()),
            remove=list(remove or ()),
        )
        done = calls_backup.work(Session.open(), "rekey_backups", request)
    _show_work(done, json)


def key(
    action: Annotated[
        str, typer.Argument(metavar="new|prove", help="new makes a key; prove shows that you hold it.")
    ],
    file: Annotated[
        str, typer.Argument(metavar="FILE|fd:N", help="The key's file, outside of this machine's state.")
    ],
    recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recipient", metavar="RECIPIENT", help="prove: whose key; those of the settings by default."
        ),
    ] = None,
) -> None:
    """Make the key that opens encrypted backups, or prove that somebody holds it."""
    from tasks.backup import keys

    home = Session.open().home
    if action == "new":
        made = keys.new(home, Path(file))
        console.say(f"made {file}: keep it away from this machine; whoever has it opens the backups")
        console.say(f"recipient {made}")
        console.say(f"to encrypt: add OPS_BACKUP_RECIPIENTS={made} to {home.env_file}")
        console.say(f"then prove once that it opens what is sealed: ./ops key prove {file}")
    elif action == "prove":
        console.say(f"proven: {', '.join(keys.prove(home, file, recipient or ()))}")
    else:
        raise Refused("is neither new nor prove", where=f"./ops key {action}")


def watchdog(
    loop: Annotated[bool, typer.Option("--loop", help="Go on until it is ended.")] = False,
) -> None:
    """Start again what a backup stopped that died; needs no Prefect."""
    from deployments import calls_backup

    for line in calls_backup.watchdog(Session.open(), loop):
        console.say(line)


def _show_work(done: WorkReport, json: bool) -> None:
    if json:
        console.show_json(done.model_dump(mode="json"))
    else:
        if done.rows:
            console.table([key.upper() for key in done.rows[0]], [list(row.values()) for row in done.rows])
        console.lines("problems", done.errors)
        console.lines("notes", done.notes)
        console.say(done.headline, style=console.BAD if done.failed else console.GOOD)
    raise typer.Exit(done.exit_code)

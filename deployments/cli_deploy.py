"""Commands that change a stack or ask what would change: plan, deploy, verify, releases, rollback."""

from __future__ import annotations

from typing import Annotated

import typer

from compose.stack.errors import Exit
from compose.stack.request import DeployRequest, StackRef
from compose.stack.verdicts import Verdict
from deployments import console
from deployments.cli_host import image_policy
from deployments.cli_options import Json, takes_stack
from deployments.session import Session

Only = Annotated[
    list[str] | None, typer.Option("--only", metavar="SERVICE", help="Only these, with what they need.")
]
Images = Annotated[str, typer.Option(help="registry, offline or auto; OPS_IMAGES by default.")]
Accept = Annotated[list[str] | None, typer.Option(metavar="CODE", help="Take a named risk; may be repeated.")]


@takes_stack
def plan(ref: StackRef, only: Only = None, images: Images = "", json: Json = False) -> None:
    """Show what a deployment would do and why, and change nothing."""
    from deployments import calls

    session = Session.open()
    report = calls.plan(session, _request(session, ref, only, images, None), json=json)
    raise typer.Exit(report.exit_code)


@takes_stack
def deploy(
    ref: StackRef,
    only: Only = None,
    images: Images = "",
    accept: Accept = None,
    rollback: Annotated[
        bool, typer.Option("--rollback-on-failure", help="Bring the previous release back when it fails.")
    ] = False,
    json: Json = False,
) -> None:
    """Bring the stack to what its files say, every service proven ready."""
    from deployments import calls

    session = Session.open()
    request = _request(session, ref, only, images, accept)
    request.on_failure = "rollback" if rollback else "stop"
    with console.live("deploy"):
        report = calls.deploy(session, request)
    calls.show_deploy(report, json=json)
    raise typer.Exit(report.exit_code)


@takes_stack
def verify(
    ref: StackRef,
    level: Annotated[str, typer.Option(help="alive, ready or working.")] = "working",
    json: Json = False,
) -> None:
    """Prove that every service does its job."""
    from deployments import calls

    verified = calls.verify(Session.open(), ref, level)
    calls.show_verify(verified, json=json)
    if verified.report.verdict is Verdict.FAILED:
        raise typer.Exit(Exit.FAILED)


@takes_stack
def releases(ref: StackRef, json: Json = False) -> None:
    """List what was deployed, newest last; the chain of records is checked."""
    from tasks import operate

    found = operate.open_stack(Session.open().home, ref).releases.all()
    if json:
        console.show_json([release.model_dump(mode="json") for release in found])
        return
    rows = [
        (
            release.number,
            release.created,
            release.kind,
            len(release.services),
            release.hash[:12],
            _note(release.of),
        )
        for release in found
    ]
    console.table(("RELEASE", "WHEN", "KIND", "SERVICES", "HASH", "NOTE"), rows)


def _note(of: int | None) -> str:
    return "" if of is None else f"back to {of}"


@takes_stack
def rollback(
    ref: StackRef,
    release: Annotated[int | None, typer.Argument(help="Its number; the one before the last by default.")] = None,
    json: Json = False,
) -> None:
    """Bring an earlier release back, by image id, all or nothing."""
    from deployments import calls

    with console.live("rollback"):
        report = calls.rollback(Session.open(), ref, release)
    calls.show_deploy(report, json=json)
    raise typer.Exit(report.exit_code)


def _request(
    session: Session, ref: StackRef, only: list[str] | None, images: str, accept: list[str] | None
) -> DeployRequest:
    policy = image_policy(images or session.settings["OPS_IMAGES"])
    return DeployRequest(**ref.model_dump(), only=list(only or ()), images=policy, accept=list(accept or ()))

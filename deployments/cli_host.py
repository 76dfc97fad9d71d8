"""Commands about the machine: up, doctor, test, version."""

from __future__ import annotations

import subprocess
from typing import Annotated

import typer

from compose.stack.errors import Exit
from compose.stack.request import DeployRequest, ImagePolicy, StackRef
from deployments import console
from deployments.cli_options import Json, takes_stack
from deployments.session import CLONE, Session


@takes_stack
def up(
    ref: StackRef,
    images: Annotated[str, typer.Option(help="registry, offline or auto; OPS_IMAGES by default.")] = "",
    accept: Annotated[
        list[str] | None, typer.Option("--accept", metavar="CODE", help="Take a named risk; may be repeated.")
    ] = None,
    adopt_secrets: Annotated[
        bool, typer.Option("--adopt-secrets", help="The databases were given today's secrets by hand.")
    ] = False,
    until: Annotated[str, typer.Option(metavar="STEP", help="Stop after this step.")] = "verify",
    skip: Annotated[
        list[str] | None, typer.Option(metavar="STEP", help="Leave a step out; may be repeated.")
    ] = None,
) -> None:
    """Make this machine run the stack: engine, secrets, images, Prefect, deploy, verify. Safe to repeat."""
    from deployments.up import Up

    session = Session.open()
    policy: ImagePolicy = image_policy(images or session.settings["OPS_IMAGES"])
    taken = [*(accept or ()), *(["first-start-secret"] if adopt_secrets else [])]
    request = DeployRequest(**ref.model_dump(), images=policy, accept=taken)
    Up(session, request, adopt_secrets).run(until, skip or ())


def image_policy(word: str) -> ImagePolicy:
    """The policy that a word names."""
    from pydantic import TypeAdapter, ValidationError

    from compose.stack.errors import Refused

    try:
        return TypeAdapter[ImagePolicy](ImagePolicy).validate_python(word)
    except ValidationError:
        raise Refused("is none of registry, offline, auto", where=f"--images {word}") from None


def doctor(json: Json = False) -> None:
    """Say what is wrong with this machine, and the next command."""
    from blocks.home import Home
    from tasks.doctor import examine

    findings = examine(Home.find(), CLONE)
    if json:
        console.show_json([finding.as_dict() for finding in findings])
    else:
        console.table(
            ("", "WHAT", "FOUND", "NEXT"),
            [(finding.verdict, finding.what, finding.found, finding.next) for finding in findings],
            styles=lambda row: {"ok": "", "warn": "yellow"}.get(row[0], console.BAD),
        )
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(Exit.FAILED)


def version(json: Json = False) -> None:
    """Show the versions of everything that takes part."""
    from importlib.metadata import version as of

    from blocks import docker_facts, machine

    facts = docker_facts.look()
    found = {
        "ops": of("sutazai-operations"),
        "revision": _revision(),
        "prefect": of("prefect"),
        "engine": facts.engine or "none",
        "compose": facts.compose or "none",
        "system": str(machine.distribution()),
    }
    if json:
        console.show_json(found)
    else:
        console.table(("WHAT", "VERSION"), list(found.items()))


def _revision() -> str:
    done = subprocess.run(
        ("git", "-C", str(CLONE), "describe", "--always", "--dirty"), capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "not a git clone"


def test(context: typer.Context) -> None:
    """Run every check of this project from nothing: linters, types, layers, all tests.

    `--fast` leaves out what needs an engine, a browser or a fresh machine; what follows goes to pytest.
    """
    from deployments.cli_test import run_all

    raise typer.Exit(run_all(CLONE, list(context.args)))

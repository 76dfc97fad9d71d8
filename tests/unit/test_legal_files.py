"""What Compose accepts is read, whatever version printed it."""

from __future__ import annotations

from subprocess import CompletedProcess
from typing import Any

import pytest

from blocks.compose_cli import ComposeCli
from compose.stack.commands import Project
from compose.stack.inference import equivalent
from compose.stack.preflight.documents import read
from compose.stack.redact import Redactor
from compose.stack.sealing import take_out
from compose.stack.service import Healthcheck, parse_stack
from compose.stack.yaml_text import load

EQUALS = """
services:
  a:
    image: x
    environment: {SEP: =, TOKEN: canary-token}
    healthcheck: {test: [CMD, test, a, =, b]}
"""


def test_a_lone_equals_sign_is_text() -> None:
    """Everything that reads Compose's YAML takes it for the value that it is."""
    service = load(EQUALS)["services"]["a"]
    assert service["environment"]["SEP"] == "="
    assert service["healthcheck"]["test"][3] == "="
    (document,) = read("compose.yml", EQUALS)
    assert document.tree["services"]["a"]["environment"]["SEP"] == "="
    flat = take_out(EQUALS, Redactor().also(["canary-token"]), lambda value: "0" * 64)
    kept = load(flat)["services"]["a"]["environment"]
    assert kept["SEP"] == "="
    assert kept["TOKEN"].startswith("${")


@pytest.mark.parametrize("port", ["$PORT", "${PORT}", "80a", "99999"])
def test_a_health_check_with_a_port_that_is_none_is_run_as_declared(port: str) -> None:
    """A variable of the container's shell has no number here: there is no equivalent, and no failure."""
    stack = parse_stack({"name": "p", "services": {"a": {"image": "x"}}})
    check = Healthcheck(("CMD", "wget", "--spider", f"http://localhost:{port}/health"))
    assert equivalent(check, stack["a"]) is None


def rendered(*binds: str) -> str:
    volumes = "".join(f"\n      - {{type: bind, source: /x, target: /y{bind}}}" for bind in binds)
    return f"name: p\nservices:\n  a:\n    image: x\n    volumes:{volumes}\n"


@pytest.mark.parametrize(
    ("version", "text", "made"),
    [
        ("2.26.1-4", rendered(", bind: {}", ""), [False, False]),
        (
            "2.26.1-4",
            rendered(", bind: {\n          create_host_path: true\n        }", ", bind: {}"),
            [True, False],
        ),
        ("v5.0.0", rendered(", bind: {}", ", bind: {create_host_path: false}", ""), [True, False, False]),
        ("5.1.2", rendered(", bind: {propagation: rslave}"), [True]),
        ("", rendered(", bind: {}"), [False]),
    ],
)
def test_whether_a_missing_directory_is_made(
    monkeypatch: pytest.MonkeyPatch, version: str, text: str, made: list[bool]
) -> None:
    """Old versions of Compose leave out what is false, new ones what is true."""

    def attempt(self: ComposeCli, argv: tuple[str, ...], **_: Any) -> CompletedProcess[str]:
        return CompletedProcess(argv, 0, f"{version}\n", "")

    monkeypatch.setattr(ComposeCli, "attempt", attempt)
    stack = parse_stack(ComposeCli().understood(text))
    assert [mount.create_host_path for mount in stack["a"].mounts] == made


def test_a_file_is_kept_whatever_compose_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both renders of a project are understood alike: one with tokens is no other project."""
    text = rendered(", bind: {propagation: rslave}")

    def attempt(self: ComposeCli, argv: tuple[str, ...], **_: Any) -> CompletedProcess[str]:
        return CompletedProcess(argv, 0, "5.1.2\n" if "version" in argv else text, "")

    monkeypatch.setattr(ComposeCli, "attempt", attempt)
    cli, project = ComposeCli(), Project(("c.yml",))
    assert cli.flat(project, cli.render(project), {"A_TOKEN": "x"}).text == text


def test_nobodys_environment_changes_what_compose_prints_or_removes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress as JSON would empty the dry run, and orphans are never removed unasked."""
    monkeypatch.setenv("COMPOSE_PROGRESS", "json")
    monkeypatch.setenv("COMPOSE_REMOVE_ORPHANS", "true")
    said = ComposeCli({"COMPOSE_REMOVE_ORPHANS": "1"}).run(("env",))
    assert {"COMPOSE_PROGRESS=plain", "COMPOSE_REMOVE_ORPHANS=false"} <= set(said.splitlines())


@pytest.mark.parametrize(("code", "profiles"), [(0, ("*",)), (14, ("loki",))])
def test_all_profiles_where_their_files_are_there(
    monkeypatch: pytest.MonkeyPatch, code: int, profiles: tuple[str, ...]
) -> None:
    """What may run is taken down with the rest; an env file that only a profile needs is no reason to refuse."""
    monkeypatch.setattr(ComposeCli, "attempt", lambda _, argv: CompletedProcess(argv, code, "", ""))
    assert ComposeCli().whole(Project(("c.yml",), profiles=("loki",))).profiles == profiles

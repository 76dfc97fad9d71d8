"""The installed Compose reads files; what it accepts, we read in the same way."""

from __future__ import annotations

from pathlib import Path

import pytest

from blocks.compose_cli import ComposeCli
from compose.stack import dotenv
from compose.stack.commands import Project
from compose.stack.service import parse_stack

pytestmark = pytest.mark.engine

ENV = """# settings
A: b
MY.KEY=x
A-B=
Q="one
two" # c
export E=f
S='it\\'s
me'
G=#1
H=a #b
I=a#b
  J = l m
L="x" y
V=${A}z
X="q$A ${NOPE:-d}"
Y='${A}'
Z=a$$b
P=\\$A
W="tab\\tquote\\" back\\\\slash \\$A"
"""
FILE = """
services:
  a:
    image: x
    environment: {SEP: "=", SAME: "$$HOME"}
    env_file: .env
    healthcheck: {test: [CMD, test, a, "=", b]}
    volumes:
      - ./short:/short
      - {type: bind, source: ./never, target: /never, bind: {create_host_path: false}}
      - {type: bind, source: ./asked, target: /asked, bind: {create_host_path: true}}
"""

PASSWORDS = ("p$word #1", "it's", "a\\b${HOME}", "#1", '"x"', "plain")


def test_what_we_write_compose_reads(tmp_path: Path) -> None:
    """Passwords of every kind arrive in a container as they were given."""
    names = {f"P{number}": value for number, value in enumerate(PASSWORDS)}
    (tmp_path / ".env").write_text(dotenv.append("", names))
    given = ", ".join(f'{name}: "${{{name}}}"' for name in names)
    (tmp_path / "compose.yml").write_text(f"services: {{a: {{image: x, environment: {{{given}}}}}}}\n")
    stack = parse_stack(ComposeCli().render(Project((str(tmp_path / "compose.yml"),), "p")))
    assert stack["a"].environment == names


def test_what_compose_accepts_is_read_alike(tmp_path: Path) -> None:
    """Env files, lone equals signs and options that Compose leaves out of what it prints."""
    (tmp_path / "compose.yml").write_text(FILE)
    (tmp_path / ".env").write_text(ENV)
    stack = parse_stack(ComposeCli().render(Project((str(tmp_path / "compose.yml"),), "p")))
    service = stack["a"]
    assert dotenv.parse(ENV) == {k: v for k, v in service.environment.items() if k not in {"SEP", "SAME"}}
    assert (service.environment["SEP"], service.environment["SAME"]) == ("=", "$HOME")
    assert service.healthcheck is not None
    assert service.healthcheck.test == ("CMD", "test", "a", "=", "b")
    assert {mount.target: mount.create_host_path for mount in service.mounts} == {
        "/short": True, "/never": False, "/asked": True,
    }  # fmt: skip

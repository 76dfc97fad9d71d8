"""A laboratory for deployments: projects in directories of their own, an OPS_HOME, and a broom."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from blocks.home import Home
from compose.stack.report import DeployReport
from compose.stack.request import DeployRequest
from flows.deploy_stack import deploy_stack
from flows.walker import ThreadRunner
from tests import engine_state
from tests.engine_state import Identity, docker
from tests.projects import ComposeProject

REPOSITORY = Path(__file__).resolve().parents[1]
SUBNET = "10.213.100.0/24"
NETWORK = f"""
networks:
  default:
    ipam: {{config: [{{subnet: {SUBNET}}}]}}
"""
WAIT = 120.0


@dataclass
class Lab:
    """Where one test works.

    Args:
        place: A directory of the test.
        environment: Variables for every command, OPS_HOME among them.
    """

    place: Path
    environment: dict[str, str] = field(default_factory=dict)
    _undo: list[Callable[[], object]] = field(default_factory=list)
    _projects: list[str] = field(default_factory=list)

    @property
    def ops_home(self) -> Path:
        """The state directory of this test."""
        return self.place / "ops-home"

    def take(self, project: ComposeProject) -> ComposeProject:
        """A copy of one of the projects, with the networks and volumes that it expects to be there."""
        mine = project.copied(self.place)
        self._sweep(mine.name, *mine.makes)
        for index, name in enumerate(mine.networks):
            docker("network", "create", "--subnet", f"10.213.{90 + index}.0/24", name)
            self._undo.insert(0, partial(_quiet, "network", "rm", name))
        for name in mine.volumes:
            docker("volume", "create", name)
            self._undo.insert(0, partial(_quiet, "volume", "rm", name))
        return mine

    def scratch(self, name: str, text: str, files: Mapping[str, str] | None = None) -> ComposeProject:
        """A project of one file; `networks` are added when it has none."""
        directory = self.place / name
        directory.mkdir()
        whole = text if "\nnetworks:" in text else text.rstrip() + "\n" + NETWORK
        for path, content in {"compose.yml": whole, **(files or {})}.items():
            (directory / path).write_text(content)
        project = ComposeProject(name, place=self.place)
        self._sweep(project.name)
        return project

    def _sweep(self, project: str, *images: str) -> None:
        self._projects.append(project)
        engine_state.remove(project, *images)
        self._undo.append(partial(engine_state.remove, project, *images))

    def clear(self, project: ComposeProject) -> None:
        """Take everything of a project away; external networks and volumes stay."""
        engine_state.remove(project.name, *project.makes)

    def run(self, *argv: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever its exit code."""
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=WAIT, check=False, env=self.env(env), cwd=REPOSITORY
        )

    def deploy(self, project: ComposeProject, **request: Any) -> DeployReport:
        """Deploy a project in this process, without Prefect."""
        wanted = DeployRequest(
            files=[project.path(file) for file in project.files],
            env_files=[project.path(file) for file in project.env_files],
            profiles=list(project.profiles),
            project_name=project.name,
            **request,
        )
        return deploy_stack(wanted, home=Home(self.ops_home), runner=ThreadRunner())

    def ops(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run our command line."""
        return self.run(*ops_argv(*words), env=env)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start our command line and go on; it is killed at the end, with its children, if it still runs."""
        process = subprocess.Popen(
            ops_argv(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.env(),
            cwd=REPOSITORY,
            start_new_session=True,
        )
        self._undo.append(partial(kill_group, process))
        return process

    def env(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a command."""
        return {**os.environ, "OPS_HOME": str(self.ops_home), **self.environment, **(more or {})}

    def undo(self, step: Callable[[], object]) -> None:
        """Something to be done at the end, before the rest."""
        self._undo.append(step)

    def close(self) -> None:
        """Leave nothing behind, and prove it."""
        while self._undo:
            self._undo.pop()()
        behind = [thing for project in self._projects for thing in engine_state.left(project)]
        assert not behind, f"left behind: {behind}"


def ops_argv(*words: str) -> tuple[str, ...]:
    """Our command line, in this environment's Python."""
    return (sys.executable, "-m", "deployments.cli", *words)


def project_words(project: ComposeProject) -> tuple[str, ...]:
    """How a project is named on our command line."""
    words = [word for file in project.files for word in ("--file", project.path(file))]
    words += [word for file in project.env_files for word in ("--env-file", project.path(file))]
    words += [word for profile in project.profiles for word in ("--profile", profile)]
    return (*words, "--project-name", project.name)


def edit(project: ComposeProject, old: str, new: str, file: str = "compose.yml") -> None:
    """Change a project's file in one place."""
    path = Path(project.path(file))
    text = path.read_text()
    assert old in text, f"{path} does not say {old!r}"
    path.write_text(text.replace(old, new, 1))


def still_running(before: Mapping[str, Identity], after: Mapping[str, Identity]) -> dict[str, Identity]:
    """Those containers of `before` that run in `after` as if nothing had happened."""
    return {name: one for name, one in before.items() if after.get(name) == one}


def kill_group(process: subprocess.Popen[str]) -> None:
    """SIGKILL for a process that we started and all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _quiet(*words: str) -> None:
    subprocess.run(["docker", *words], capture_output=True, check=False)

"""The door to the Docker Compose plugin: runs its commands and reads what it prints."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import yaml

from compose.stack import commands
from compose.stack.commands import Project
from compose.stack.errors import Failed, Refused
from compose.stack.machine import version_of
from compose.stack.sealing import Flat, candidates, fits, token, with_variables
from compose.stack.service import silent_binds
from compose.stack.yaml_text import load

log = logging.getLogger("ops.compose")
QUICK = 60.0
MISSING = "is missing a value"
WITH_STOP = 900.0
BUILD = 3600.0
SAME = {"COMPOSE_PROGRESS": "plain", "COMPOSE_REMOVE_ORPHANS": "false"}
"""What nobody's environment may change: the form of what is read here, and that orphans stay."""
TELLS_FALSE = 5
"""From this version on `config` prints `create_host_path` when it is false; before, when it is true."""


@dataclass(frozen=True)
class ComposeCli:
    """Runs `docker compose`.

    Args:
        environment: Variables on top of the process's own, for interpolation.
        without: Variables of the process that Compose must not see.
        keep: File descriptors that children inherit, so that a lock outlives us as long as they work.
    """

    environment: Mapping[str, str] | None = None
    keep: tuple[int, ...] = ()
    without: frozenset[str] = frozenset()

    def run(self, argv: Sequence[str], *, limit: float = QUICK, where: str = "") -> str:
        """Run one command to its end; what it printed on standard output.

        Raises:
            Failed: It ended with another code than 0; the error holds its last lines.
        """
        done = self.attempt(argv, limit=limit)
        if done.returncode:
            raise Failed(_last_lines(done.stderr or done.stdout), where=where or " ".join(argv[:2]))
        return done.stdout

    def attempt(
        self, argv: Sequence[str], *, limit: float = QUICK, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, whatever its exit code.

        Args:
            text: What it reads on standard input; nothing by default.
        """
        own = {name: value for name, value in os.environ.items() if name not in self.without}
        log.debug("%s", " ".join(argv))
        try:
            return subprocess.run(
                argv,
                input=text or "",
                capture_output=True,
                text=True,
                timeout=limit,
                env={**own, **(self.environment or {}), **SAME},
                pass_fds=self.keep,
                check=False,
            )
        except FileNotFoundError:
            raise Refused("docker is not installed", next="./ops up, as root, installs an engine") from None
        except subprocess.TimeoutExpired:
            raise Failed(f"did not end in {limit:.0f} s", where=" ".join(argv[:8])) from None

    def render(self, project: Project) -> dict[str, Any]:
        """The project as Compose understands it, every variable resolved. It holds secrets."""
        return self.understood(self._read(commands.config(project), project))

    def understood(self, text: str) -> dict[str, Any]:
        """A rendered project as a structure, with what this version of Compose leaves out."""
        body = dict(_unescaped(load(text) or {}))
        silent = silent_binds(body) if "create_host_path: true" not in text else []
        if silent and self.major >= TELLS_FALSE:
            for bind in silent:
                bind["create_host_path"] = True
        return body

    @property
    def major(self) -> int:
        """The major version of the plugin; 0 where it does not tell."""
        return (version_of(self.attempt(commands.version()).stdout) or (0,))[0]

    def whole(self, project: Project) -> Project:
        """The project with all its profiles, which may be running; as it is where a file of theirs is missing."""
        every = project.with_all_profiles()
        return project if self.attempt((*commands.config(every), "--quiet")).returncode else every

    def values(self, project: Project, names: Iterable[str]) -> dict[str, str]:
        """The values that Compose gives to variables in this project, from its env files and the environment."""
        service = {"image": "probe", "environment": dict.fromkeys(names)}
        if not service["environment"]:
            return {}
        probe = yaml.safe_dump({"services": {"probe": service}})
        text = self._read(commands.config_probe(project), project, probe)
        found = _unescaped(load(text))["services"]["probe"]["environment"]
        return {name: str(value) for name, value in found.items() if value is not None}

    def flat(
        self, project: Project, rendered: Mapping[str, Any], known: Mapping[str, str], loose: Iterable[str] = ()
    ) -> Flat:
        """The project as one file, as it is rendered, with a variable for each secret that comes by one.

        Args:
            rendered: The project as `render` reads it.
            known: Every variable that has a value.
            loose: More values of secret variables, that no name stands for.
        """
        wanted = candidates(known)
        text = self._sealed(project, rendered, known, wanted)
        if text is not None:
            return Flat(text, known, frozenset(loose))
        if self._sealed(project, rendered, known, ()) is None:
            raise Failed("the files changed while they were read", where=project.files[0], next="try again")
        fitting = self._fitting(project, rendered, known, (), wanted)
        text = self._sealed(project, rendered, known, fitting)
        if text is None:
            raise Failed("the files changed while they were read", where=project.files[0], next="try again")
        return Flat(text, known, frozenset({*loose, *(known[name] for name in wanted if name not in fitting)}))

    def _fitting(
        self,
        project: Project,
        rendered: Mapping[str, Any],
        known: Mapping[str, str],
        chosen: tuple[str, ...],
        more: tuple[str, ...],
    ) -> tuple[str, ...]:
        """The chosen variables and those of more that can stand in the file beside them: found by halves."""
        if self._sealed(project, rendered, known, (*chosen, *more)) is not None:
            return (*chosen, *more)
        if len(more) <= 1:
            return chosen
        half = len(more) // 2
        chosen = self._fitting(project, rendered, known, chosen, more[:half])
        return self._fitting(project, rendered, known, chosen, more[half:])

    def _sealed(
        self, project: Project, rendered: Mapping[str, Any], known: Mapping[str, str], names: Sequence[str]
    ) -> str | None:
        """The rendered text with variables for some secrets; None where they cannot all stand in it."""
        tokens = {name: token(name) for name in names}
        cli = replace(self, environment={**(self.environment or {}), **tokens})
        done = cli.attempt(commands.config(project))
        if done.returncode:
            return None
        sealed = self.understood(done.stdout)
        if not fits(rendered, sealed, {tokens[name]: known[name] for name in names}):
            return None
        return with_variables(done.stdout, names)

    def hashes(self, project: Project) -> dict[str, str]:
        """The configuration hash of every service."""
        lines = self._read(commands.config_hashes(project), project).split("\n")
        pairs = (line.split() for line in lines if line.strip())
        return {pair[0]: pair[-1] for pair in pairs}

    def dry_run(self, project: Project) -> str | None:
        """What `up` would do, as Compose prints it; None where the installed one cannot tell."""
        done = self.attempt(commands.dry_run(project), limit=QUICK)
        return done.stderr + done.stdout if done.returncode == 0 else None

    def warnings(self, project: Project) -> tuple[str, ...]:
        """What Compose warns of when it reads the project."""
        done = self.attempt((*commands.config(project), "--quiet"))
        return tuple(line for line in done.stderr.splitlines() if line.strip())

    def _read(self, argv: Sequence[str], project: Project, text: str | None = None) -> str:
        done = self.attempt(argv, text=text)
        if done.returncode:
            raise Refused(
                _without_quotes(_last_lines(done.stderr)),
                where=", ".join(project.files),
                next="./ops up, or set the variable" if MISSING in done.stderr else "correct the compose file",
            )
        return done.stdout


def _unescaped(value: Any) -> Any:
    """What containers get: Compose prints every dollar of a resolved value twice."""
    if isinstance(value, dict):
        return {key: _unescaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unescaped(item) for item in value]
    return value.replace("$$", "$") if isinstance(value, str) else value


def _without_quotes(text: str) -> str:
    """Compose quotes the line of an env file that it cannot read: it may be a secret."""
    return re.sub(r"near \".*", "near a line that is not shown", text, flags=re.DOTALL)


def _last_lines(text: str, count: int = 4) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:]) or "it said nothing"

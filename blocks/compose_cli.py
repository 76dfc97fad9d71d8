"""The door to the Docker Compose plugin: runs its commands and reads what it prints."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compose.stack import commands
from compose.stack.commands import Project
from compose.stack.errors import Failed, Refused
from compose.stack.machine import version_of
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
        keep: File descriptors that children inherit, so that a lock outlives us as long as they work.
    """

    environment: Mapping[str, str] | None = None
    keep: tuple[int, ...] = ()

    def run(self, argv: Sequence[str], *, limit: float = QUICK, where: str = "") -> str:
        """Run one command to its end; what it printed on standard output.

        Raises:
            Failed: It ended with another code than 0; the error holds its last lines.
        """
        done = self.attempt(argv, limit=limit)
        if done.returncode:
            raise Failed(_last_lines(done.stderr or done.stdout), where=where or " ".join(argv[:2]))
        return done.stdout

    def attempt(self, argv: Sequence[str], *, limit: float = QUICK) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, whatever its exit code."""
        log.debug("%s", " ".join(argv))
        try:
            return subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=limit,
                env={**os.environ, **(self.environment or {}), **SAME},
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

    def flat(self, project: Project) -> str:
        """The project merged into one file, variables left as written."""
        return self._read(commands.config_flat(project), project)

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

    def _read(self, argv: Sequence[str], project: Project) -> str:
        done = self.attempt(argv)
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

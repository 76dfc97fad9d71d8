"""`./ops up`: from a bare machine to a verified stack, step by step; every step may find nothing to do."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import typer

from blocks.lock import stack_lock
from blocks.machine import is_headless
from compose.stack.errors import Exit, Refused
from compose.stack.request import DeployRequest, StackRef
from compose.stack.verdicts import Verdict
from deployments import console
from deployments.session import Session
from tasks.backup.standing_watch import bring_back, stand_watch
from tasks.engine import ensure_engine
from tasks.secrets import ensure_secrets, remember_settings

log = logging.getLogger("ops.up")
STEPS = ("engine", "secrets", "images", "server", "worker", "register", "deploy", "verify")
ALREADY = "already there"


@dataclass
class Up:
    """One run of `./ops up`.

    Args:
        session: The clone and its state directory.
        request: What to deploy.
        adopt_secrets: Take today's secrets for those that the databases know.
    """

    session: Session
    request: DeployRequest
    adopt_secrets: bool = False
    began: dict[str, bool] = field(default_factory=dict)

    def run(self, until: str = "verify", skip: Sequence[str] = ()) -> None:
        """Do every step up to the named one, then say where everything is."""
        for word in (until, *skip):
            if word not in STEPS:
                raise Refused(f"no such step; choose among {', '.join(STEPS)}", where=word)
        console.step("environment", self._environment)
        with stack_lock("this machine", str(self.session.home.path), "./ops up"):
            for name in STEPS[: STEPS.index(until) + 1]:
                if name not in skip:
                    work: Callable[[], str] = getattr(self, f"_{name}")
                    console.step(_TITLES.get(name, name), work)
        if until == STEPS[-1]:
            self._summary()

    @property
    def ref(self) -> StackRef:
        """The stack that is deployed."""
        return StackRef(**{name: getattr(self.request, name) for name in StackRef.model_fields})

    def _environment(self) -> str:
        return "made" if os.environ.get("OPS_ENVIRONMENT_MADE") else ALREADY

    def _engine(self) -> str:
        said = ensure_engine(self.session.home)
        for line in bring_back(self.session.home):
            log.info("%s", line)
        return said

    def _secrets(self) -> str:
        from tasks.stacks import OWN, OWN_FILES, own_project, own_recipes

        home, settings = self.session.home, self.session.settings
        own = not self.request.files and self.request.stack in OWN_FILES
        file = OWN / OWN_FILES[self.request.stack if own else "light"]
        kept = remember_settings(home, os.environ, (file, own_recipes(self.request.stack)))
        named = self.request.project_name if own else ""  # the name of another project says nothing of our stores
        project = named or own_project(self.request.stack if own else "light", settings)
        made = ensure_secrets(home, os.environ, file, project, adopt=self.adopt_secrets)
        if made:
            log.info("generated %s in %s", ", ".join(made), home.env_file)
        for setting in kept:
            log.info("remembered %s in %s", setting, home.env_file)
        return f"{len(made)} generated" if made else ALREADY

    def _images(self) -> str:
        self.began["server"] = self.session.prefect.begin_server()  # it starts while images are made
        from deployments.calls import prepare_images

        got = prepare_images(self.session, self.request)
        return f"got {len(got)}: {', '.join(sorted(got))}" if got else ALREADY

    def _server(self) -> str:
        prefect = self.session.prefect
        fresh = prefect.begin_server() or self.began.get("server", False)
        prefect.wait_server()
        return f"{'started' if fresh else ALREADY} (http://127.0.0.1:{self.session.settings['OPS_PREFECT_PORT']})"

    def _worker(self) -> str:
        prefect = self.session.prefect
        fresh = prefect.begin_worker()
        stand_watch(self.session.home)
        prefect.wait_worker()
        return "started" if fresh else ALREADY

    def _register(self) -> str:
        self.session.use_prefect()
        from deployments.register import register

        return "registered" if register(self.session.home) else ALREADY

    def _deploy(self) -> str:
        from deployments import calls

        report = calls.deploy(self.session, self.request)
        if report.failed:
            calls.show_deploy(report, json=False)
            raise typer.Exit(report.exit_code)
        return report.headline

    def _verify(self) -> str:
        from deployments import calls

        verified = calls.verify(self.session, self.ref)
        if verified.report.verdict is Verdict.FAILED:
            calls.show_verify(verified, json=False)
            raise typer.Exit(Exit.FAILED)
        return verified.summary

    def _summary(self) -> None:
        from deployments.cli_stack import show_status
        from tasks import operate

        _, rows = operate.status(self.session.home, self.ref)
        console.say("")
        show_status(rows)
        console.say("")
        for line in where_to_look(self.session):
            console.say(line)


_TITLES = {"server": "Prefect", "register": "deployments"}


def where_to_look(session: Session) -> list[str]:
    """The UI's address, how to log in, and the tunnel where there is no browser here."""
    port = session.settings["OPS_PREFECT_PORT"]
    lines = [
        f"Prefect UI   http://127.0.0.1:{port}",
        f"log in with  the line in {session.home.auth_file} (user:password, as one string)",
    ]
    if is_headless():
        ports = [port, *(session.settings[name] for name in ("FRONTEND_PORT", "HTTP_PORT"))]
        forwards = " ".join(f"-L {_local(p)}:127.0.0.1:{p}" for p in ports)
        lines.append(f"from afar    ssh {forwards} {os.environ.get('USER', 'root')}@{socket.gethostname()}")
    return lines


def _local(port: str) -> str:
    """A port that a user's own machine lets him take: low ones are root's."""
    return port if int(port) >= 1024 else str(int(port) + 8000)

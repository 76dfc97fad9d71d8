"""The Prefect server and its worker on this machine: started, found running, stopped."""

from __future__ import annotations

import hashlib
import logging
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blocks import prefect_ui, systemd
from blocks.home import Home
from blocks.ports import holder
from blocks.prefect_api import PrefectApi
from blocks.supervisor import Supervisor
from blocks.systemd import Units
from compose.stack.errors import Refused
from compose.stack.prefect_settings import POOL, variables

log = logging.getLogger("ops.prefect")

SERVER, WORKER = "server", "worker"
_PREFECT = (sys.executable, "-P", "-m", "prefect")
_YIELDING = ("/usr/bin/nice", "-n", "5")
"""Where processors are short, the server that shows the work gives way to the work."""


def prefect_environment(home: Home, settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of the server, of the worker, and of every command that talks to them."""
    made = variables(str(home.prefect), settings["OPS_PREFECT_PORT"], home.prefect_auth())
    return {**made, "OPS_HOME": str(home.path)}


def environment_stamp(stamp: Path = Path(sys.prefix) / ".ops-stamp") -> str:
    """What tells this Python environment from the one before an upgrade; who runs on another is started anew."""
    try:
        return hashlib.sha256(stamp.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


@dataclass(frozen=True)
class PrefectService:
    """The server and the worker of one home, kept by systemd where it runs, else detached.

    Args:
        home: The state directory.
        settings: Effective settings, OPS_PREFECT_PORT among them.
    """

    home: Home
    settings: Mapping[str, str]

    @property
    def api(self) -> PrefectApi:
        """The server's REST API."""
        return PrefectApi(int(self.settings["OPS_PREFECT_PORT"]), self.home.prefect_auth())

    @property
    def keeper(self) -> Supervisor | Units:
        """Who keeps the processes."""
        default = self.home.path == Home.find({}).path  # a second home must not share the first one's units
        return Units(self.home.run) if systemd.usable() and default else self.detached

    @property
    def detached(self) -> Supervisor:
        """The keeper where systemd does not run."""
        return Supervisor(self.home.run, self.home.logs)

    def command(self, name: str) -> tuple[str, ...]:
        """The literal command of the server or the worker; no secret in it."""
        if name == SERVER:
            return (*_YIELDING, *_PREFECT, "server", "start")
        return (*_PREFECT, "worker", "start", "--pool", POOL, "--type", "process", "--name", worker_name())

    def begin_server(self) -> bool:
        """Start the server unless it runs with the same settings; whether it had to be started."""
        return self._begin(SERVER)

    def wait_server(self, limit: float = 300) -> None:
        """Wait until the server answers and takes our password."""
        self.keeper.wait(SERVER, self.api.accepts_us, limit)
        prefect_ui.keep_to_this_host(self.home.prefect / "ui")

    def begin_worker(self) -> bool:
        """Start the worker unless it runs with the same settings; whether it had to be started."""
        return self._begin(WORKER)

    def wait_worker(self, limit: float = 180) -> None:
        """Wait until the server has heard of our worker."""
        self.keeper.wait(WORKER, lambda: worker_name() in self.api.workers_online(POOL), limit)

    def stop(self) -> list[str]:
        """Stop the worker, then the server; the names of those that ran."""
        return [name for name in (WORKER, SERVER) if any([self.keeper.stop(name), self.detached.stop(name)])]

    def _begin(self, name: str) -> bool:
        argv = self.command(name)
        environment = {**prefect_environment(self.home, self.settings), "OPS_ENVIRONMENT": environment_stamp()}
        if self.keeper.current(name, argv, environment):
            return False
        if self.keeper.running(name):
            log.info("the Prefect %s runs with other settings: starting it anew", name)
        self.detached.stop(name)
        if name == SERVER and not self.keeper.running(name):
            self._refuse_taken_port()
        if name == SERVER:
            prefect_ui.leave_out_second(self.home.prefect / "ui")
        self.keeper.start(name, argv, environment)
        return True

    def _refuse_taken_port(self) -> None:
        port = self.settings["OPS_PREFECT_PORT"]
        who = holder(int(port))
        if who:
            raise Refused(
                f"port {port} is taken by {who}",
                where="Prefect server",
                next="stop it, or choose another: OPS_PREFECT_PORT=4201 ./ops up",
            )


def worker_name() -> str:
    """The name our worker is known by."""
    return f"ops-{socket.gethostname()}"

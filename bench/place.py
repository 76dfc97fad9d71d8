"""Where the bench works: a state directory with a Prefect server of its own, timed commands, a broom."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from blocks.home import Home
from tasks.prefect_server import SERVER, PrefectService, prefect_environment

REPOSITORY = Path(__file__).resolve().parents[1]
LIMIT = 600.0
BLOCK = """
import sys
from blocks.home import Home
from blocks.prefect_api import PrefectApi
from deployments.registration.blocks import register_engine
register_engine(PrefectApi(int(sys.argv[1]), Home.find().prefect_auth()))
"""


@dataclass(frozen=True)
class Run:
    """A command that ended.

    Args:
        began: Wall clock, seconds since the epoch.
        seconds: Whole command.
        said: Lines of its standard error, each with the moment at which it came.
    """

    began: float
    seconds: float
    code: int
    out: str
    said: tuple[tuple[float, str], ...] = ()

    @property
    def json(self) -> Any:
        """What it printed, for a program."""
        return json.loads(self.out[self.out.index("{") :])

    def require(self, *codes: int) -> Run:
        """Stop the bench when the command ended otherwise than it should."""
        if self.code not in (codes or (0,)):
            lines = "\n".join(line for _, line in self.said[-15:])
            raise SystemExit(f"exit code {self.code}:\n{self.out[-2000:]}\n{lines}")
        return self


@dataclass
class Place:
    """The state directory of the bench.

    Args:
        home: Its own OPS_HOME.
        port: Of its own Prefect server.
    """

    home: Home
    port: int
    files: Path = field(init=False)

    def __post_init__(self) -> None:
        self.files = self.home.path / "bench"
        self.home.make()
        self.files.mkdir(parents=True, exist_ok=True)

    @property
    def settings(self) -> dict[str, str]:
        """Effective settings, the port among them."""
        return {**self.home.settings({}), "OPS_PREFECT_PORT": str(self.port)}

    @property
    def service(self) -> PrefectService:
        """Server and worker."""
        return PrefectService(self.home, self.settings)

    def environment(self) -> dict[str, str]:
        """Variables of every command: our home, our port, and nothing of a Prefect that is configured here."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "OPS_"))}
        return {**kept, "OPS_HOME": str(self.home.path), "OPS_PREFECT_PORT": str(self.port)}

    @contextmanager
    def prefect(self) -> Iterator[dict[str, float]]:
        """The server and the worker while the block runs; seconds that each took to start."""
        took = {}
        try:
            took["server"] = timed(self.service.begin_server, self.service.wait_server)
            self.register()
            took["worker"] = timed(self.service.begin_worker, self.service.wait_worker)
            yield took
        finally:
            self.service.stop()

    def register(self) -> None:
        """The work pool that our worker serves, and the block of the engine, as `./ops up` makes them."""
        environment = {**self.environment(), **prefect_environment(self.home, self.settings)}
        words = (sys.executable, "-m", "prefect", "work-pool", "create", "ops", "--type", "process", "--overwrite")
        subprocess.run(words, env=environment, capture_output=True, check=True)
        self.python(BLOCK, str(self.port)).require()

    def ops(self, *words: str) -> Run:
        """Our command line, as a person runs it."""
        return run((str(REPOSITORY / "ops"), *words), self.environment())

    def python(self, code: str, *words: str) -> Run:
        """A Python program that talks to our server."""
        environment = {**self.environment(), **prefect_environment(self.home, self.settings)}
        environment["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "CRITICAL"
        return run((sys.executable, "-P", "-c", code, *words), environment)

    def memory(self, name: str) -> int:
        """Resident megabytes of the server or of the worker."""
        return resident(self._pid(name))

    def server_cpu(self, *, settled: bool = False) -> float:
        """Processor seconds that the server has used.

        Args:
            settled: First wait until it has written down what it was told: it is idle for a second.
        """
        spent = processor_seconds(self._pid(SERVER))
        while settled:
            time.sleep(1.0)
            before, spent = spent, processor_seconds(self._pid(SERVER))
            settled = spent - before > 0.15
        return spent

    def _pid(self, name: str) -> int:
        return int(json.loads((self.home.run / f"{name}.json").read_text())["pid"])


def run(argv: tuple[str, ...], environment: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end; standard error is read as it comes, line by line, with the time."""
    began, clock = time.time(), time.monotonic()
    said: list[tuple[float, str]] = []
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        cwd=REPOSITORY,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stderr:
            said.append((time.time(), line.rstrip()))
        out = process.stdout.read()
        code = process.wait(LIMIT)
    return Run(began, time.monotonic() - clock, code, out, tuple(said))


def timed(*steps: Callable[[], object]) -> float:
    """Seconds that some steps took together."""
    began = time.monotonic()
    for step in steps:
        step()
    return time.monotonic() - began


def resident(pid: int) -> int:
    """Resident megabytes of a process and its children."""
    status = Path(f"/proc/{pid}/status").read_text()
    own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
    children = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")).split()
    return own // 1024 + sum(resident(int(child)) for child in children)


def processor_seconds(pid: int) -> float:
    """User and system time of a process (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

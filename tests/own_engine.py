"""An engine of a test's own beside this machine's: to be stopped and started again at will."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO

from tests.prefect_lab import until


@dataclass
class OwnEngine:
    """A `dockerd` with its data in a directory of its own, in a network of its own.

    Two engines in one network share a bridge and firewall rules: each removes what the other one made. So nobody
    here reaches its containers by their addresses.

    Args:
        place: Short, since a socket's path has at most 107 bytes.
    """

    place: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        """What DOCKER_HOST has to be."""
        return f"unix://{self.place}/sock"

    def docker(self, *words: str, check: bool = True, stdin: IO[bytes] | None = None) -> CompletedProcess[bytes]:
        """One command on it."""
        return subprocess.run(("docker", "-H", self.host, *words), check=check, capture_output=True, stdin=stdin)

    def start(self) -> None:
        """Start it and wait until it answers."""
        dockerd = shutil.which("dockerd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        assert dockerd, "this machine has no dockerd of its own"
        words = (
            "unshare", "--net", dockerd, "-H", self.host, "--data-root", f"{self.place}/data",
            "--exec-root", f"{self.place}/run", "--pidfile", f"{self.place}/pid", "--bridge", "none",
            "--shutdown-timeout", "5",
        )  # fmt: skip
        with (self.place / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        until(lambda: self.docker("info", check=False).returncode == 0, 180, "the test's own engine answers")

    def stop(self) -> None:
        """Stop it as a package update does: its containers end with it."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(90)

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()

    def load(self, *images: str) -> None:
        """Give it images of this machine's engine."""
        given = {key: value for key, value in os.environ.items() if key != "DOCKER_HOST"}
        with subprocess.Popen(("docker", "save", *images), stdout=subprocess.PIPE, env=given) as saving:
            self.docker("load", "-q", stdin=saving.stdout)


@contextmanager
def own_engine() -> Iterator[OwnEngine]:
    """An engine that is gone afterwards, with all that it stored."""
    place = Path(tempfile.mkdtemp(prefix="t-engine-"))
    engine = OwnEngine(place)
    try:
        engine.start()
        yield engine
    finally:
        engine.stop()
        for line in reversed(Path("/proc/mounts").read_text().splitlines()):
            if line.split()[1].startswith(f"{place}/"):
                subprocess.run(("umount", "-l", line.split()[1]), check=False, capture_output=True)
        shutil.rmtree(place, ignore_errors=True)

"""Two independent S3 servers of the tests' own: rclone's and moto's, on free ports of this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from blocks.targets.memory import Budget
from blocks.targets.s3 import S3Target
from blocks.targets.s3_client import Credentials, Patience, connect
from tests.addresses import free_port
from tests.prefect_lab import until

ACCESS, SECRET, BUCKET = "tests-access", "tests-secret-canary", "t-backups"
BRIEF = Patience(connect=5, answer=10, attempts=3)
_BIN = Path(sys.executable).parent


@dataclass
class S3Server:
    """A server that runs.

    Args:
        kind: `rclone` or `moto`.
        directory: Where rclone keeps what it was given; None for moto, which keeps it in memory.
    """

    kind: str
    port: int
    process: subprocess.Popen[bytes]
    directory: Path | None = None

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def target(self, prefix: str = "", **options: Any) -> S3Target:
        """A target on it; options override."""
        return target_at(self.endpoint, prefix, **options)

    def client(self) -> Any:
        """A client for what only tests do."""
        return connect(self.endpoint, "us-east-1", Credentials(ACCESS, SecretStr(SECRET)), BRIEF)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()


def target_at(endpoint: str, prefix: str = "", **options: Any) -> S3Target:
    """A target at an endpoint with the tests' own credentials and a budget of its own; options override."""
    settings = {
        "bucket": BUCKET, "access_key": ACCESS, "secret_key": SecretStr(SECRET), "patience": BRIEF,
        "budget": Budget(),
    }  # fmt: skip
    return S3Target(prefix=prefix, endpoint=endpoint, **(settings | options))


@contextmanager
def rclone_server(directory: Path, port: int = 0) -> Iterator[S3Server]:
    """rclone's server over a directory, which holds the bucket as a directory."""
    (directory / BUCKET).mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    argv = (
        str(_BIN / "rclone"), "serve", "s3", "--config", "/dev/null", "--auth-key", f"{ACCESS},{SECRET}",
        "--addr", f"127.0.0.1:{port}", str(directory),
    )  # fmt: skip
    with _running("rclone", argv, port) as process:
        yield S3Server("rclone", port, process, directory)


@contextmanager
def moto_server() -> Iterator[S3Server]:
    """moto's server with the bucket made; it takes any credentials."""
    port = free_port()
    argv = (str(_BIN / "moto_server"), "-H", "127.0.0.1", "-p", str(port))
    with _running("moto", argv, port) as process:
        server = S3Server("moto", port, process)
        server.client().create_bucket(Bucket=BUCKET)
        yield server


@contextmanager
def _running(kind: str, argv: tuple[str, ...], port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or _listens(port), 120, f"{kind} listens")
        assert process.poll() is None, f"{kind} ended with {process.returncode}"
        yield process
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0

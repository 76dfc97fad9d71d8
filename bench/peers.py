"""Other people's commands, timed: pipelines of processes without a shell."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

Argv = Sequence[str]


def piped(*stages: Argv, into: Path | None = None, environment: Mapping[str, str] | None = None) -> float:
    """Run a pipeline to its end; seconds.

    Args:
        into: Takes the last one's output; thrown away without.
        environment: Variables on top of ours.

    Raises:
        SystemExit: One of them failed.
    """
    env = {**os.environ, **(environment or {})}
    with ExitStack() as stack:
        out = stack.enter_context((into or Path(os.devnull)).open("wb"))
        began, before, running = time.monotonic(), None, []
        for number, argv in enumerate(stages, 1):
            last = number == len(stages)
            process = subprocess.Popen(
                argv, stdin=before or subprocess.DEVNULL, stdout=out if last else subprocess.PIPE,
                stderr=subprocess.PIPE, env=env,
            )  # fmt: skip
            if before is not None:
                before.close()
            before = process.stdout
            running.append((argv, process))
        said = [process.stderr.read() if process.stderr else b"" for _, process in running]
        codes = [process.wait() for _, process in running]
        seconds = time.monotonic() - began
    ends = zip(running, codes, said, strict=True)
    bad = [
        f"{argv[0]} ended with code {code}: {text.decode(errors='replace')[-500:]}"
        for (argv, _), code, text in ends
        if code
    ]
    if bad:
        raise SystemExit("; ".join(reversed(bad)))  # one that nobody listens to any more ends too
    return seconds


def synced(path: Path) -> float:
    """Have a file on disk; seconds."""
    began = time.monotonic()
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return time.monotonic() - began


class Restic:
    """A restic repository that is thrown away; its cache too.

    Args:
        place: A directory that is not there yet.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = {
            "RESTIC_REPOSITORY": str(place / "repository"), "RESTIC_PASSWORD": "of-a-bench-only",
            "RESTIC_CACHE_DIR": str(place / "cache"), "RESTIC_PROGRESS_FPS": "0",
        }  # fmt: skip
        place.mkdir()
        self.run(("restic", "init", "-q"))

    def run(self, *stages: Argv) -> float:
        """A pipeline with the repository's settings; seconds."""
        return piped(*stages, environment=self.environment)

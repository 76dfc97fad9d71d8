"""What the engine and the containers themselves say of a run, and the broom."""

from __future__ import annotations

import json
import re
import subprocess
import time
from datetime import datetime
from typing import Any

from bench.projects import READY, Project
from compose.stack.observed import PROJECT


def remove(project: Project) -> None:
    """Take the containers and the network away at once."""
    docker(*project.compose("down", "-t", "0", "--volumes")[1:])
    kept = docker("images", "-q", "--filter", f"reference=sutazai-ops-keep/{project.name}:*", "--format",
                  "{{.Repository}}:{{.Tag}}").split()  # fmt: skip
    if kept:
        docker("image", "rm", *kept)


def docker(*words: str) -> str:
    """Output of one docker command that has to succeed."""
    done = subprocess.run(("docker", *words), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def inspected(project: Project) -> list[dict[str, Any]]:
    """What the engine says of a project's containers."""
    ids = docker("ps", "-aq", "--filter", f"label={PROJECT}={project.name}").split()
    return list(json.loads(docker("inspect", *ids))) if ids else []


def ready_moments(project: Project) -> dict[str, float]:
    """When each service was really ready, by its own word; seconds since the epoch."""
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    found = {}
    said = re.sub(r"\x1b\[\d*[A-Za-z]", "", docker(*project.compose("logs", "--no-color")[1:]))
    for line in said.splitlines():
        name, _, text = line.partition("|")
        if text.strip().startswith(READY):
            found[name.strip().rpartition("-")[0]] = boot + float(text.split()[1])
    return found


def first_created(project: Project) -> float:
    """When the engine made the first container of a project; seconds since the epoch."""
    return min(moment(one["Created"]) for one in inspected(project))


def last_judged_healthy(project: Project) -> float:
    """When the engine's health checks had passed in every container for the first time."""
    logs = [one["State"]["Health"]["Log"] or [] for one in inspected(project)]
    return max(min(moment(entry["End"]) for entry in log if entry["ExitCode"] == 0) for log in logs)


def moment(text: str) -> float:
    """Seconds since the epoch of a time as the engine writes it (nanoseconds are cut off)."""
    whole, _, rest = text.partition(".")
    digits = re.match(r"\d*", rest)
    zone = "+00:00" if text.endswith("Z") else text[-6:]
    return datetime.fromisoformat(f"{whole[:19]}{zone}").timestamp() + float(f"0.{digits[0] if digits else 0}")

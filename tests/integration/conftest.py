"""Fixtures of the tests on a real engine: their images, and a laboratory that is swept afterwards."""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import images
from tests.engine_state import docker
from tests.lab import Lab
from tests.projects import HERE, IMAGES

BASE = "ops-test/busybox:1"


@pytest.fixture(scope="session")
def alone() -> Iterator[None]:
    """One run of these tests at a time on this machine: their subnets and ports are fixed."""
    with Path(tempfile.gettempdir(), "sutazai-engine-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def test_images(alone: None) -> Iterator[None]:
    """busybox and the two variants of it that the projects name; those that were not here before go again."""
    builds: dict[str, tuple[str, ...]] = {BASE: ("tag", images.busybox(), BASE)}
    builds |= {
        f"ops-test/{name}:1": ("build", "-q", "-t", f"ops-test/{name}:1", str(HERE / "images" / name))
        for name in IMAGES
    }
    made = [tag for tag in builds if not images.present(tag)]
    for tag in made:
        docker(*builds[tag])
    yield
    subprocess.run(["docker", "image", "rm", *made], capture_output=True, check=False)
    images.remove_made()


@pytest.fixture
def lab(tmp_path: Path, test_images: None) -> Iterator[Lab]:
    """A place to deploy in; everything deployed there is removed, whatever the test does."""
    lab = Lab(tmp_path)
    try:
        yield lab
    finally:
        lab.close()

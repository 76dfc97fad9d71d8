"""A health check that only the image declares is waited for, as Compose does."""

from __future__ import annotations

import pytest

from tests.engine_state import docker
from tests.lab import Lab

pytestmark = pytest.mark.engine

IMAGE = "ops-test/own-check:1"
RECIPE = """
FROM ops-test/busybox:1
HEALTHCHECK --interval=30s CMD test -e /gate/open
CMD ["sleep", "600"]
"""
PROJECT = f"""
services:
  gated: {{image: "{IMAGE}", init: true, volumes: ["./gate:/gate"], x-ops: {{ready_within: 3}}}}
  after:
    image: ops-test/busybox:1
    init: true
    command: [sleep, "600"]
    depends_on: {{gated: {{condition: service_healthy}}}}
"""


def test_dependents_wait_for_the_images_own_check(lab: Lab) -> None:
    """While it does not pass, the service fails in its time and its dependent is not started; then both come."""
    recipe = lab.place / "own-check"
    recipe.mkdir()
    (recipe / "Dockerfile").write_text(RECIPE)
    docker("build", "-q", "-t", IMAGE, str(recipe))
    lab.undo(lambda: docker("image", "rm", IMAGE))
    project = lab.scratch("gated", PROJECT)
    failed = lab.deploy(project)
    assert failed.outcomes["gated"].state == "failed"
    assert failed.outcomes["after"].state == "upstream failed"
    (lab.place / "gated" / "gate" / "open").touch()
    report = lab.deploy(project)
    assert (report.exit_code, report.outcomes["gated"].state) == (0, "ready")

"""What guards a database: the data's format, and the secrets that it took over at its first start."""

from __future__ import annotations

import pytest

from compose.stack.errors import Refused
from tests import images
from tests.engine_state import docker, identities
from tests.lab import Lab, edit

pytestmark = [pytest.mark.engine, pytest.mark.stack]

POSTGRES = "sutazai/postgres:16.14"
OTHER = "ops-test/postgres:15"
PROJECT = f"""
services:
  db:
    image: {POSTGRES}
    environment: {{POSTGRES_PASSWORD: first-secret-1, POSTGRES_USER: app}}
    volumes: ["data:/var/lib/postgresql/data"]
    healthcheck: {{test: [CMD, pg_isready, -h, 127.0.0.1], interval: 30s, start_period: 30s, start_interval: 1s}}
volumes: {{data: {{}}}}
"""


@pytest.fixture(autouse=True)
def postgres() -> None:
    if not images.present(POSTGRES):
        pytest.skip(f"{POSTGRES} is not here: ./ops up --until images builds it")


def test_another_major_version_is_refused_by_name(lab: Lab) -> None:
    """An image that says 15 is not given data of 16; the database goes on as it was."""
    project = lab.scratch("format", PROJECT)
    assert lab.deploy(project).exit_code == 0
    before = identities(project.name)
    recipe = lab.place / "pg15"
    recipe.mkdir()
    (recipe / "Dockerfile").write_text(f"FROM {POSTGRES}\nENV PG_MAJOR=15 PG_VERSION=15.9\n")
    docker("build", "-q", "-t", OTHER, str(recipe))
    lab.undo(lambda: docker("image", "rm", OTHER))
    edit(project, POSTGRES, OTHER)
    with pytest.raises(Refused, match="db: the data on its volume is of postgres 16, the image is postgres 15"):
        lab.deploy(project)
    assert identities(project.name) == before


def test_a_password_that_the_data_does_not_know_is_refused(lab: Lab) -> None:
    """Changed in the file, with the container there and with only the volume left: refused by key, never shown."""
    project = lab.scratch("takeover", PROJECT)
    assert lab.deploy(project).exit_code == 0
    edit(project, "first-secret-1", "second-secret-2")
    for _ in range(2):
        with pytest.raises(Refused, match="POSTGRES_PASSWORD differs") as raised:
            lab.deploy(project)
        assert "second-secret-2" not in str(raised.value)
        docker("compose", "-p", project.name, "-f", project.path("compose.yml"), "down", "-t", "1")
    edit(project, "second-secret-2", "first-secret-1")
    assert lab.deploy(project).exit_code == 0

"""What a profile started is stopped and removed with the rest, and what is scaled to zero goes."""

from __future__ import annotations

import pytest

from tests import engine_state, images
from tests.addresses import free_subnet
from tests.engine_state import containers
from tests.lab import Lab, edit, project_words

pytestmark = pytest.mark.engine

FILE = """
services:
  always: &service
    image: {image}
    init: true
    command: [sleep, "600"]
  extra:
    <<: *service
    profiles: [extra]
    volumes: [kept:/kept]
    networks: [own]
  worker:
    <<: *service
    deploy: {{replicas: 1}}
volumes: {{kept: {{}}}}
networks:
  default: {{ipam: {{config: [{{subnet: {first}}}]}}}}
  own: {{ipam: {{config: [{{subnet: {second}}}]}}}}
"""


def test_down_and_destroy_take_profiles_along(lab: Lab, test_images: None) -> None:
    """Deployed with a profile, taken down without: containers and networks go, then the volumes."""
    text = FILE.format(image=images.BUSYBOX, first=free_subnet(), second=free_subnet())
    here = lab.scratch("t-profiles", text)
    assert not lab.deploy(here).failed
    done = lab.ops("deploy", *project_words(here), "--profile", "extra")
    assert done.returncode == 0, done.stderr
    assert len(containers(here.name)) == 3

    edit(here, "replicas: 1", "replicas: 0")
    report = lab.deploy(here)
    assert report.outcomes["worker"].state == "removed"
    assert {one["Name"] for one in containers(here.name)} == {f"/{here.name}-always-1", f"/{here.name}-extra-1"}
    assert lab.deploy(here).outcomes["worker"].state == "none"

    assert lab.ops("down", *project_words(here)).returncode == 0
    left = engine_state.left(here.name)
    assert [thing for thing in left if "kept" not in thing] == []
    assert left, "volumes stay"
    done = lab.ops("destroy", *project_words(here), "--yes-destroy", here.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not engine_state.left(here.name)

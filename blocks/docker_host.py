"""The Docker engine as a Prefect block, so that its address can be kept and changed in the UI."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import docker.errors
from prefect.client.orchestration import get_client

from blocks.engine import TIMEOUT, Engine
from compose.stack.errors import Refused

if TYPE_CHECKING:
    from prefect_docker.host import DockerHost

log = logging.getLogger("ops.engine")

NAME = "engine"
POOL_SIZE = 128
"""Connections kept: as many probes run at once."""
FIRST = {"base_url": None, "timeout": TIMEOUT, "max_pool_size": POOL_SIZE}
"""The block's fields when it is made: the engine that the environment names."""


def engine_from_block(name: str = NAME) -> Engine:
    """Connect to the engine that a DockerHost block names; without the block, as the environment says.

    Raises:
        Refused: No engine answers. Another engine than the block's is not taken instead.
    """
    try:
        block = None if _as_made(name) else _loaded(name)
    except Exception as error:  # noqa: BLE001 - no block or no server: the environment decides
        log.debug("no block %s: %s", name, error)
        block = None
    if block is None:
        return Engine.connect()
    try:
        return Engine(block.get_client()).check()
    except docker.errors.DockerException as error:
        said = f"no Docker engine answers: {error}"
        raise Refused(said, where=f"block docker-host/{name}", next="correct the block, or ./ops doctor") from None


def _as_made(name: str) -> bool:
    """Whether the block says what we made it with: then its class, 0.3 s to import, has nothing to add."""
    with get_client(sync_client=True) as client:
        kept = client.read_block_document_by_name(name, "docker-host").data
    said = {key: value for key, value in kept.items() if value}
    return said == {"version": "auto", "timeout": TIMEOUT, "max_pool_size": POOL_SIZE}


def _loaded(name: str) -> DockerHost:
    from prefect_docker.host import DockerHost

    return DockerHost.load(name, _sync=True)

"""Blocks: made where they are missing; what a person changed in the UI stays, what a setting says is written."""

from __future__ import annotations

from uuid import UUID

from prefect.blocks.core import Block
from prefect.blocks.webhook import Webhook
from prefect.types import SecretDict
from prefect_docker.host import DockerHost
from pydantic import SecretStr

from blocks import alert_block, docker_host
from blocks.alert_block import AlertWebhookBlock
from blocks.prefect_api import PrefectApi

WATCH = "ops-watch"
"""The Webhook block by which the server itself tells that nothing has been verified."""


def register_engine(api: PrefectApi) -> UUID:
    """The block of the Docker engine; one that is there stays as it is."""
    DockerHost.register_type_and_schema(_sync=True)
    found = _there(api, "docker-host", docker_host.NAME)
    return found or _saved(DockerHost(**docker_host.FIRST), docker_host.NAME)


def register_alert(api: PrefectApi, url: SecretStr | None) -> UUID | None:
    """The blocks that tell people; the setting, where there is one, decides their address.

    Returns:
        Id of the one by which the server tells; None when nobody was ever given.
    """
    AlertWebhookBlock.register_type_and_schema(_sync=True)  # type: ignore[call-arg] # so that it can be made in the UI
    if url is None:
        return _there(api, "webhook", WATCH)
    _saved(AlertWebhookBlock(url=url), alert_block.NAME)
    return _saved(Webhook(url=url, headers=SecretDict({"Content-Type": "application/json"})), WATCH)


def _there(api: PrefectApi, slug: str, name: str) -> UUID | None:
    try:
        found = api.call("GET", f"/block_types/slug/{slug}/block_documents")
    except ValueError:  # no such type yet
        return None
    return next((UUID(document["id"]) for document in found if document["name"] == name), None)


def _saved(block: Block, name: str) -> UUID:
    return UUID(str(block.save(name, overwrite=True, _sync=True)))  # type: ignore[call-arg] # sync_compatible's own


def remove_pictures(api: PrefectApi) -> None:
    """Take the pictures of block types away: the UI would fetch them from other hosts."""
    for kind in api.call("POST", "/block_types/filter", {}):
        if kind["logo_url"]:
            api.call("PATCH", f"/block_types/{kind['id']}", {"logo_url": None})

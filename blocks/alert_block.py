"""The alert webhook as a Prefect block, so that its URL can be kept and changed in the UI."""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from blocks.alert import AlertWebhook

NAME = "verification"


class AlertWebhookBlock(Block):
    """Where a change of verdict is told.

    Args:
        url: The webhook's URL.
    """

    _block_type_name = "Alert webhook"
    _block_type_slug = "ops-alert-webhook"
    _description = "Where a change of a stack's verdict is told."

    url: SecretStr = Field(title="URL", description="Takes a POST of JSON with a `text`.")

    def webhook(self) -> AlertWebhook:
        """The client."""
        return AlertWebhook(self.url)

"""The door to whoever wants to be told: a webhook that takes JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from compose.stack.errors import Failed

VARIABLE = "HEALTH_ALERT_WEBHOOK"


@dataclass(frozen=True)
class AlertWebhook:
    """Posts alerts.

    Args:
        url: Where to; secret, since such URLs hold their own password.
        within: Seconds.
    """

    url: SecretStr
    within: float = 10.0

    @classmethod
    def from_settings(cls, *sources: Mapping[str, str]) -> AlertWebhook | None:
        """The webhook that HEALTH_ALERT_WEBHOOK names in the first of these variables that has it, if any."""
        url = next((source[VARIABLE] for source in sources if source.get(VARIABLE)), "")
        return cls(SecretStr(url)) if url else None

    def send(self, message: Mapping[str, Any]) -> None:
        """POST one alert.

        Raises:
            Failed: It was not taken; the error names the host only.
        """
        place = urlsplit(self.url.get_secret_value()).hostname or "the alert webhook"
        try:
            answer = httpx.post(self.url.get_secret_value(), json=dict(message), timeout=self.within)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Failed(f"the alert was not taken: {type(error).__name__}", where=place) from None
        if not answer.is_success:
            raise Failed(f"the alert was not taken: status {answer.status_code}", where=place)

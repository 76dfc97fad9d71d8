"""HTTP to the services behind the backend; what they answer wrongly becomes an ApiError."""

from collections.abc import Mapping
from typing import Any

import httpx

from backend_agi.errors import ApiError, explain

Json = Mapping[str, Any]


async def call(
    http: httpx.AsyncClient,
    service: str,
    method: str,
    url: str,
    *,
    body: Json | None = None,
    token: str = "",
    within: float = 30,
) -> Any:
    """Return the JSON of an answer.

    Raises ApiError: 503 when the service does not answer, 504 when it takes longer than `within` seconds,
    the service's own status when it refuses the request (4xx), 502 for any other answer.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = httpx.Timeout(within, connect=3)
    try:
        response = await http.request(method, url, json=body, headers=headers, timeout=timeout)
    except (httpx.ConnectError, httpx.ConnectTimeout) as error:
        raise ApiError(503, service, f"{service} does not answer: {explain(error)}") from error
    except httpx.TimeoutException as error:
        raise ApiError(504, service, f"{service} gave no answer within {within:g} s") from error
    except httpx.HTTPError as error:
        raise ApiError(502, service, f"{service} broke off: {explain(error)}") from error
    if response.is_success:
        return response.json()
    status = response.status_code if response.status_code in (400, 404, 409, 422, 503) else 502
    raise ApiError(status, service, f"{service} answered {response.status_code}: {said(response)}")


def said(response: httpx.Response) -> str:
    """Return a service's own words about its error."""
    try:
        body = response.json()
    except ValueError:
        return response.text[:200]
    if isinstance(body, dict):
        return str(body.get("detail") or body.get("message") or body.get("error") or body)[:300]
    return str(body)[:300]

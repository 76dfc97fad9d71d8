"""What the API says when it cannot do as asked."""

from collections.abc import Iterable


class ApiError(Exception):
    """An answer other than success: HTTP status, the service it is about, and what is wrong."""

    def __init__(self, status: int, service: str, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.service = service
        self.what = what

    def body(self) -> dict[str, str]:
        """Return the JSON body of the answer."""
        return {"detail": self.what, "service": self.service}


def not_served(service: str, why: str) -> ApiError:
    """Return the error for a route that this stack cannot serve."""
    return ApiError(501, service, why)


def explain(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """Return an error as one short line without secrets."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text[:200]

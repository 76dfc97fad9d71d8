"""What the API says when it cannot do as asked."""


class ApiError(Exception):
    """An answer other than success: HTTP status and what is wrong."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status
        self.what = what


class Damaged(Exception):
    """What lies on the disk is not what was written."""

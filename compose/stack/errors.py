"""Every error a person can meet: what happened, where, and what to do next."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    LOCKED = 3
    ROLLED_BACK = 4


class OpsError(Exception):
    """Something went wrong that a person has to know about.

    Args:
        what: One sentence that names the fact.
        where: Service, file or key that it concerns; empty when `what` says it.
        next: The next command or action; empty when there is none.
    """

    code: Exit = Exit.FAILED

    def __init__(self, what: str, *, where: str = "", next: str = "") -> None:
        self.what, self.where, self.next = what, where, next
        super().__init__(what)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        then = f" Next: {self.next}" if self.next else ""
        return f"{place}{self.what}{then}"


class Failed(OpsError):
    """The work was begun and did not succeed."""


class Damaged(Failed):
    """What was saved is missing, is not what was recorded, or its own tool does not understand it.

    Only this speaks against a backup: whatever else fails while it is read says nothing about it.
    """


class Refused(OpsError):
    """The work was not begun: bad input, or a risk that nobody accepted."""

    code = Exit.REFUSED


class Locked(OpsError):
    """Somebody else works on this stack."""

    code = Exit.LOCKED


class RolledBack(OpsError):
    """The work failed and the previous release was brought back."""

    code = Exit.ROLLED_BACK


class UpstreamFailed(OpsError):
    """A service was not started because one that it depends on failed.

    Args:
        service: The service that was not started.
        cause: The service that failed first.
    """

    def __init__(self, service: str, cause: str) -> None:
        self.service, self.cause = service, cause
        super().__init__(f"not started: {cause} failed", where=service, next=f"./ops logs {cause}")

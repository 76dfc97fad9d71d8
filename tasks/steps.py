"""Named steps: run plainly, or by whoever makes them visible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

Result = TypeVar("Result")


class Steps(Protocol):
    """Runs named steps: plainly, or so that Prefect shows them."""

    def step(self, title: str, work: Callable[[], Result], *, tags: Sequence[str] = ()) -> Result:
        """Run one step and give its result."""


class Plainly:
    """Runs steps with nothing around them."""

    def step(self, title: str, work: Callable[[], Result], *, tags: Sequence[str] = ()) -> Result:
        """Run one step now."""
        return work()

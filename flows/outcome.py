"""How a flow tells what became of its work: a state for Prefect, the whole report for the command line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from compose.stack.errors import OpsError
from compose.stack.report import Outcome

Report = TypeVar("Report", bound=Outcome)
log = logging.getLogger("ops.deploy")


@dataclass
class Attempt(Generic[Report]):
    """One piece of work that is done once, whether Prefect records it or not.

    Args:
        work: Does it; given whether it is recorded.
    """

    work: Callable[[bool], Report]
    done: list[Report | OpsError] = field(default_factory=list)
    begun: bool = False

    def run(self, recorded: bool = True) -> Report:
        """Do it; the report, also of a failure.

        Raises:
            OpsError: It was refused, or could not begin.
        """
        self.begun = True
        try:
            report = self.work(recorded)
        except OpsError as error:
            self.done.append(error)
            raise
        self.done.append(report)
        return report

    def through(self, flow: Callable[[], object]) -> Report:
        """Do it inside a flow; when Prefect fails before, in or after it, the work is what counts.

        Args:
            flow: Calls the Prefect flow, which calls `run`.
        """
        try:
            flow()
        except OpsError:
            pass
        except Exception as error:
            if self.begun and not self.done:
                raise
            log.warning("this run is not recorded: %s: %s", type(error).__name__, error)
            if not self.begun:
                return self.run(recorded=False).model_copy(update={"recorded": False})
            return self._result(recorded=False)
        return self._result(recorded=True)

    def _result(self, *, recorded: bool) -> Report:
        last = self.done[-1]
        if isinstance(last, OpsError):
            raise last
        return last if recorded else last.model_copy(update={"recorded": False})


def ended(attempt: Attempt[Report], publish: Callable[[Report], None]) -> State[None]:
    """Do the work and publish its report; the state in which the flow run ends.

    A failure is a state and no exception: it says what, where and what next; a traceback would only hide that.
    """
    try:
        report = attempt.run()
    except OpsError as error:
        return Failed(message=str(error))
    publish(report)
    if report.failed:
        return Failed(message="\n- ".join([report.headline, *report.errors]))
    return Completed(message=report.headline)

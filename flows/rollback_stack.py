"""Roll a stack back to a recorded release, all or nothing, as plain code that any runner can execute."""

from __future__ import annotations

from blocks.engine import Engine
from blocks.home import Home
from compose.stack.report import DeployReport
from compose.stack.request import StackRef
from flows.deploy_stack import bring_back, locked
from flows.walker import Runner, ThreadRunner
from tasks.releases import find


def rollback_stack(
    ref: StackRef,
    release: int | None = None,
    *,
    home: Home | None = None,
    runner: Runner | None = None,
    engine: Engine | None = None,
) -> DeployReport:
    """Bring a release back.

    Args:
        ref: Which stack.
        release: Its number; the one before the newest by default.

    Raises:
        Refused: No such release, its images are gone, or a store's data has moved ahead; nothing was touched.
        Locked: Somebody else works on this stack.
    """
    home, runner, engine = home or Home.find(), runner or ThreadRunner(), engine or Engine.connect()
    with locked(home, ref, engine, "rollback") as work:
        return bring_back(work, find(work, release), runner)

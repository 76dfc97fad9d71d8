"""The plan of a backup: who stands still, for how long, and everything that stands against it."""

from __future__ import annotations

import pytest

from compose.stack.backup.component import Component, Kind, Manner, Waiver
from compose.stack.backup.inventory import Inventory
from compose.stack.backup.plan import STOP_AND_START, BackupPlan, Earlier, TargetPlan, decide, megabytes, plan_rows
from compose.stack.errors import Refused

DB = Component("db", Kind.POSTGRES, Manner.ONLINE, ("db",))
GRAPH = Component("graph", Kind.NEO4J, Manner.STOPPED, ("graph",))
FILES = Component("volume-files", Kind.VOLUME, Manner.STOPPED, ("web", "worker"))
ALL = Inventory((DB, GRAPH, FILES), (Waiver("cache", "made again"),))
HERE = (TargetPlan("local", "/srv"),)
NEVER = Earlier({}, {})


def test_a_downtime_is_what_was_measured_else_reckoned_from_the_size() -> None:
    """Nothing is expected of a store that goes on."""
    earlier = Earlier({"db": 3.0, "graph": 20.0, "volume-files": 5.0}, {"graph": 9.0})
    plan = decide(ALL, {"volume-files": 2_000_000_000}, earlier, targets=HERE, spool_free=10**10)
    assert [part.downtime for part in plan.components] == [None, 9.0, 20.0]
    assert (plan.seconds, plan.problems) == (28.0, ())
    plan.refuse()


def test_what_goes_into_the_pool_needs_no_room_for_all_of_it() -> None:
    """Only what changes before the stop is copied; the same volume as an archive is refused."""
    how = {"targets": HERE, "spool": "/spool", "spool_free": 400_000_000_000}
    sizes = {"volume-files": 1_000_000_000_000}
    assert "/spool has" in decide(ALL, sizes, NEVER, **how).problems[0]
    plan = decide(ALL, sizes, NEVER, **how, pooled=("volume-files",))
    assert (plan.problems, plan.spool_bytes) == ((), 0)
    (part,) = [one for one in plan.components if one.component.name == "volume-files"]
    assert (part.bytes, part.downtime) == (1_000_000_000_000, STOP_AND_START)


def test_every_problem_is_told_at_once() -> None:
    """No target, too small a spool, too long a stop, and what the inventory found."""
    plan = decide(
        Inventory(ALL.components, (), ("mysql: its data path lies on no volume",)),
        {"graph": 10**9},
        NEVER,
        spool="/spool",
        spool_free=10**6,
        writers=("web",),
        writers_limit=5.0,
    )
    assert len(plan.problems) == 4
    with pytest.raises(Refused, match=r"mysql.*spool needs 1\.1 GB and /spool has 1\.0 MB.*writers.*no target"):
        plan.refuse()


@pytest.mark.parametrize("measured", [True, False])
def test_a_stop_that_would_be_given_up_every_time_is_a_problem(measured: bool) -> None:
    """By name, with both numbers and what to do; no more where the author allows it."""
    earlier = Earlier({}, {"volume-files": 510.0} if measured else {})
    given = Inventory((FILES,)), {"volume-files": 10**11}, earlier
    plan = decide(*given, targets=HERE, spool_free=10**12, limits={"volume-files": 300.0})
    (problem,) = plan.problems
    assert ("took" if measured else "would take") + " about 510 s" in problem
    assert "web, worker may stand still for 300 s" in problem
    assert all(word in problem for word in ("stop_limit", "pool", "live"))
    allowed = decide(*given, targets=HERE, spool_free=10**12, limits={"volume-files": 600.0})
    assert allowed.problems == ()


def test_the_copy_of_redis_needs_room_in_the_spool() -> None:
    """Its file is taken at once: the server replaces it when it likes."""
    cache = Component("cache", Kind.REDIS, Manner.ONLINE, ("cache",))
    plan = decide(Inventory((cache, DB)), {"cache": 10**9, "db": 10**12}, NEVER, targets=HERE, spool="/s")
    assert plan.problems == ("the spool needs 1.1 GB and /s has 0 B free (OPS_SPOOL names another place)",)
    assert plan.components[0].downtime is None


def test_what_was_not_chosen_is_named() -> None:
    """Such a backup is not complete; an unknown component is refused with those there are."""
    plan = decide(ALL, {}, NEVER, only=["db"], targets=HERE)
    assert [part.component.name for part in plan.components] == ["db"]
    assert plan.left == ("graph", "volume-files")
    with pytest.raises(Refused, match="one of: db, graph, volume-files"):
        decide(ALL, {}, NEVER, only=["database"], targets=HERE)


def test_the_table_has_what_is_waived_with_its_reason() -> None:
    """Beside what is saved."""
    rows = plan_rows(decide(ALL, {"db": 5}, NEVER, targets=HERE, spool_free=1))
    assert [row["component"] for row in rows] == ["db", "graph", "volume-files", "cache"]
    assert (rows[2]["stands still"], rows[3]["how"], rows[3]["why"]) == ("web, worker", "waived", "made again")


@pytest.mark.parametrize(
    ("size", "said"), [(12, "12 B"), (441_200_000, "441.2 MB"), (2.1e9, "2.1 GB"), (5e15, "5000.0 TB")]
)
def test_sizes_are_for_people(size: float, said: str) -> None:
    """In the unit that fits."""
    assert megabytes(size) == said


def test_one_problem_that_says_what_to_do_is_told_with_that_alone() -> None:
    """Two different next steps for one problem are one too many."""
    for problems, told in ((("no room Next: mkdir x",), False), (("a",), True), (("a Next: b", "c"), True)):
        with pytest.raises(Refused) as raised:
            BackupPlan((), problems=problems).refuse()
        assert bool(raised.value.next) is told

"""The backup's bench: how it reckons, and that its pipelines tell the truth. No speed is asserted here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import backup_memory, backup_pool, backup_postgres
from bench.backup_memory import Watched, resident_tree
from bench.backup_site import keeper
from bench.machine import cached, fill, forget
from bench.peers import piped
from bench.reckon import (
    HASHED,
    ROW,
    SMALL_TABLES,
    caption,
    in_turn,
    lower,
    over_idle,
    parse_size,
    speed,
    tables,
)
from bench.tally import Tally, table
from compose.stack.backup.postgres_sql import HASH_LIMIT
from compose.stack.errors import Refused

GIB = 1024**3


@pytest.mark.parametrize(
    ("text", "size"),
    [("2G", 2 * GIB), ("500M", 500 * 1024**2), ("0.5G", GIB // 2), ("4096", 4096), ("64KiB", 65536), ("1gb", GIB)],
)
def test_sizes_as_people_write_them(text: str, size: int) -> None:
    """Powers of 1024, whatever the letters."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1G", "0", "2 T", "2G2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """And said by name."""
    with pytest.raises(Refused):
        parse_size(text)


@pytest.mark.parametrize("size", [1024**2, 60 * 1024**2, GIB, 2 * GIB, 5 * GIB])
def test_the_tables_take_what_was_asked_for(size: int) -> None:
    """All rows together, each number once in a table; names differ."""
    made = tables(size)
    rows = sum(one.last - one.first + 1 for one in made)
    assert rows * ROW == pytest.approx(size, rel=0.02)
    assert len({one.name for one in made}) == len(made) == SMALL_TABLES + 1


def test_small_tables_are_hashed_and_the_big_one_is_not() -> None:
    """So the fingerprint does both of what it can do."""
    big, *small = tables(2 * GIB)
    assert (big.last - big.first) * ROW > HASH_LIMIT
    assert all((one.last - one.first + 1) * ROW <= HASHED < HASH_LIMIT for one in small)


def test_a_table_is_one_statement() -> None:
    """Made and filled in one transaction; numbers that an integer does not hold are no trouble."""
    sql = tables(GIB)[0].sql
    assert sql.startswith("CREATE TABLE events AS SELECT i AS id")
    assert "generate_series(1000000001::bigint, " in sql
    assert ";" not in sql


def test_speeds() -> None:
    """Decimal megabytes per second; the lower one pair by pair, as long as there are both."""
    assert speed(500_000_000, 2.0) == 250.0
    assert speed(1, 0.0) == 0.0
    assert lower([1800.0, 900.0, 1.0], [1200.0, 1300.0]) == [1200.0, 900.0]


def test_what_comes_first_alternates() -> None:
    """Whoever is helped or hurt by its place is so in every other pair only."""
    assert [in_turn(3, index) for index in range(3)] == [(0, 1, 2), (2, 1, 0), (0, 1, 2)]


def test_memory_over_idle_is_between_the_highest() -> None:
    """Not between medians, which would hide a peak."""
    assert over_idle([100, 180, 120], [150, 400, 130]) == 220


def test_the_caption_says_what_the_figures_depend_on() -> None:
    """Cores, load, disk; a run without pairs does not know its load."""
    said = caption([2.0, 4.0, 12.0], 2, "disk of 250 GB", ("Without Prefect.",))
    assert said == (
        "2 cores, load of the machine before each pair 2.0 to 12.0 (median 4.0); disk of 250 GB. Without Prefect."
    )
    assert "not known" in caption([], 2, "disk")


def test_every_row_has_samples_that_the_bench_writes(tmp_path: Path) -> None:
    """A row whose name nobody writes would silently be missing from the table."""
    rows = (*backup_postgres.ROWS, *backup_pool.ROWS, *backup_memory.ROWS)
    sources = "".join(
        Path(str(part.__file__)).read_text() for part in (backup_postgres, backup_pool, backup_memory)
    )
    names = {name: value for part in (backup_postgres, backup_pool) for name, value in vars(part).items()}
    constants = {value for value in names.values() if isinstance(value, str)}
    for row in rows:
        for name in filter(None, (row.ours, row.theirs)):
            assert name in constants or f'("{name}", ' in sources, name
    tally = Tally(tmp_path / "samples.json")
    tally.add(backup_postgres.BARE, 90.0)
    tally.add(backup_postgres.PIPE, 100.0)
    assert "| 90 MB/s | 100 MB/s | **0.90 x** | >= 0.9 x | 1 / 1 |" in table(tally, rows)


def test_a_pipeline_writes_what_comes_out(tmp_path: Path) -> None:
    """Every stage gets what the one before wrote, and the file the rest."""
    out = tmp_path / "out"
    piped((sys.executable, "-c", "print('b'); print('a')"), ("sort",), into=out)
    assert out.read_text() == "a\nb\n"


@pytest.mark.parametrize("stages", [(("false",), ("cat",)), (("echo", "x"), ("false",))])
def test_a_pipeline_whose_stage_fails_is_no_measurement(stages: tuple[tuple[str, ...], ...]) -> None:
    """Wherever it fails: a dump that broke off is fast."""
    with pytest.raises(SystemExit, match="false ended with code 1"):
        piped(*stages)


def test_what_was_read_is_seen_in_the_page_cache(tmp_path: Path) -> None:
    """Nothing after it was forgotten, the file after it was read."""
    fill(tmp_path, 4 * 1024**2, 2)
    forget(tmp_path)
    before = cached(tmp_path)
    (tmp_path / "model-0.bin").read_bytes()
    if cached(tmp_path) == before > 0:
        pytest.skip("this file system keeps everything in memory")
    assert cached(tmp_path) - before >= 2 * 1024**2


def test_the_memory_of_children_is_seen() -> None:
    """The process first, then each child; nothing of one that is gone."""
    code = (
        "import subprocess, sys; child = subprocess.Popen(['sleep', '60']); print(1, flush=True); "
        "sys.stdin.read(); child.kill()"
    )
    with subprocess.Popen(
        (sys.executable, "-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = resident_tree(process.pid)
        process.communicate("")
    assert len(found) == 2
    assert found[0] > found[1] > 0
    assert resident_tree(process.pid) == []


def test_a_keeper_ends_when_it_is_told_to() -> None:
    """Its shell has a handler, and waits in a way that lets it run; the dollar is Compose's own to escape."""
    made = keeper("image", "data", pool=True)
    assert made["command"][2] == "trap 'exit 0' TERM; while :; do sleep 1 & wait $$!; done"
    assert made["x-ops"] == {"backup": {"pool": True}}


def test_memory_at_the_start_is_kept_apart() -> None:
    """Children that read the files before anything streams hide nothing of what streaming takes."""
    found = Watched()
    found.look([100, 80, 70], streams=False)
    found.look([], streams=True)
    found.look([150, 20], streams=True)
    assert (found.alone, found.start, found.tree) == ([100, 150], [150], [170])


def test_a_pipeline_in_a_cell_does_not_end_it(tmp_path: Path) -> None:
    """Markdown takes a bare `|` for the next column, in code too."""
    tally = Tally(tmp_path / "samples.json")
    tally.add(backup_postgres.BARE, 90.0)
    line = table(tally, backup_postgres.ROWS[:1]).splitlines()[-1]
    assert len(line.replace("\\|", "").strip("|").split("|")) == 6

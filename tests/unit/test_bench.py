"""The bench itself: what it deploys, and how it reckons. No time is asserted here."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.engine import moment
from bench.projects import DOCUMENT, LAYERS, WIDTH, layered
from bench.tally import Row, Tally, table


@pytest.fixture
def tally(tmp_path: Path) -> Tally:
    tally = Tally(tmp_path / "samples.json")
    tally.add("ours", 1.0, 2.0, 4.0)
    tally.add("theirs", 10.0, 10.0, 20.0)
    return tally


def test_ratios_are_of_runs_that_were_made_one_after_the_other(tally: Tally) -> None:
    """The median of the pairs' ratios; a noisy minute hits both of a pair."""
    assert tally.ratio("ours", "theirs") == 0.2
    assert tally.ratio("ours", "nothing") is None


def test_the_table_says_median_spread_ratio_and_runs(tally: Tally) -> None:
    """Faster is said as faster; a row without samples is left out."""
    rows = (Row("w", "ours", "theirs", "<= 1 x"), Row("i", "ours", "theirs", inverse=True), Row("x", "nothing"))
    assert table(tally, rows).splitlines()[2:] == [
        "| w | 2.00 s (1.00 to 4.00) | 10.00 s (10.00 to 20.00) | **0.20 x** | <= 1 x | 3 / 3 |",
        "| i | 2.00 s (1.00 to 4.00) | 10.00 s (10.00 to 20.00) | **5.0 x faster** | - | 3 / 3 |",
    ]


def test_samples_are_kept_and_can_be_added_to(tally: Tally) -> None:
    """An interrupted bench loses nothing."""
    again = Tally.at(tally.path, add=True)
    again.add("ours", 3.0)
    assert Tally.at(tally.path, add=True).of("ours") == [1.0, 2.0, 4.0, 3.0]
    assert Tally.at(tally.path, add=False).of("ours") == []


def test_the_project_is_five_layers_of_ten() -> None:
    """With a check every service above the lowest layer waits for two of the layer below; without, for none."""
    chain = layered(DOCUMENT, "10.213.250.0/24")["services"]
    flat = layered(None, "10.213.250.0/24")["services"]
    assert len(chain) == len(flat) == LAYERS * WIDTH == 50
    for name, body in chain.items():
        below = [dependency[1] for dependency in body.get("depends_on", {})]
        assert below == [str(int(name[1]) - 1)] * (2 if name[1] != "0" else 0)
    assert not any("depends_on" in body or "healthcheck" in body for body in flat.values())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-02T03:04:05.5Z", 1767323045.5),
        ("2026-01-02T04:04:05.250000001+01:00", 1767323045.25),
        ("2026-01-02T03:04:05Z", 1767323045.0),
    ],
)
def test_times_as_the_engine_writes_them(text: str, seconds: float) -> None:
    """With nanoseconds or none, in any zone."""
    assert moment(text) == pytest.approx(seconds, abs=1e-6)

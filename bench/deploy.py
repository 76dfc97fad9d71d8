"""Deployments against Docker Compose; `python -m bench.deploy --pairs 5` prints a Markdown table."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import broken, prefect_cost
from bench.compare import ROWS, Comparison
from bench.engine import remove
from bench.place import Place
from bench.tally import Tally, table
from blocks.home import Home
from tasks.prefect_server import SERVER, WORKER
from tests.images import busybox, remove_made

PARTS = ("compare", "broken", "prefect")


def main() -> None:
    """Measure, print the table, leave nothing behind."""
    options = _options()
    busybox()
    with _home(options.home) as path:
        place = Place(Home(path), options.port)
        tally = Tally.at(place.files / "samples.json", add=options.add)
        fresh = not (place.home.prefect / "prefect.db").exists()
        with place.prefect() as took:
            tally.add("server start, new" if fresh else "server start", took["server"])
            tally.add("worker start", took["worker"])
            with contextlib.suppress(KeyboardInterrupt):
                _measure(place, tally, options)
            tally.add("server memory", place.memory(SERVER))
            tally.add("worker memory", place.memory(WORKER))
        with place.prefect() as took:
            tally.add("server start", took["server"])
        print(f"\n{table(tally, (*ROWS, *broken.ROWS, *prefect_cost.ROWS))}")
        print(
            f"\nLoad of the machine (1 min): {min(tally.loads)} to {max(tally.loads)} on {os.cpu_count()} cores."
        )
    remove_made()


def _measure(place: Place, tally: Tally, options: argparse.Namespace) -> None:
    parts = options.only or PARTS
    if "prefect" in parts:
        for _ in range(options.pairs):
            prefect_cost.measure(place, tally)
    if "broken" in parts:
        for _ in range(options.pairs):
            for name in broken.VARIANTS:
                broken.measure(place, tally, name)
    if "compare" in parts:
        comparison = Comparison(place, tally)
        try:
            for index in range(options.pairs):
                print(f"pair {index + 1} of {options.pairs}", flush=True)
                comparison.pair(slow=index < options.slow_pairs)
        finally:
            for project in comparison.projects:
                remove(project)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--slow-pairs", type=int, default=2, help="how often Compose waits its three minutes")
    parser.add_argument("--only", action="append", choices=PARTS, help="a part; may be repeated")
    parser.add_argument("--home", type=Path, help="a state directory to keep; a new one by default")
    parser.add_argument("--add", action="store_true", help="go on with the samples of that directory")
    parser.add_argument("--port", type=int, default=21500, help="of the bench's own Prefect server")
    return parser.parse_args()


@contextlib.contextmanager
def _home(kept: Path | None) -> Iterator[Path]:
    if kept:
        yield kept.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="ops-bench-") as place:
        yield Path(place)


if __name__ == "__main__":
    main()

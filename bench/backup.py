"""Backups against what people run; `python -m bench.backup --pairs 5` prints a Markdown table.

It needs root (volumes are filled and read where they lie), the stores' images (`./ops up --until images`), and
`restic` and `zstd`, which it installs from the machine's own package sources where they are missing. At most
12 GB of disk are taken at any time; all of it is given back, whatever happens.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from bench import backup_downtime, backup_memory, backup_pool, backup_postgres
from bench.machine import disk_of, write_speed
from bench.place import Place
from bench.reckon import caption, parse_size
from bench.tally import Row, Tally, table
from blocks.home import Home
from blocks.polling import poll
from tests.images import busybox, remove_made

PARTS = ("postgres", "pool", "memory", "downtime")
PEERS = ("restic", "zstd")
LOADS, DISK = "load before a pair", "disk"
PROBE = 512 * 1024**2


def main() -> None:
    """Measure, print the table, leave nothing behind."""
    options = _options()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended like that, it tidies up too
    _install()
    busybox()
    with tempfile.TemporaryDirectory(prefix="ops-bench-", dir=options.scratch) as path:
        place = Place(Home(Path(path)), options.port)
        tally = Tally.at(options.samples or place.files / "samples.json", add=options.add)
        with _prefect(place, options.prefect), contextlib.suppress(KeyboardInterrupt):
            for part in options.part or PARTS:
                tally.add(DISK, write_speed(place.files, PROBE))
                {"postgres": _postgres, "pool": _pool, "memory": _memory, "downtime": _downtime}[part](
                    place, tally, options
                )
        _guardians_gone(place.home.path)
        print(f"\n{table(tally, _rows(options))}\n\n{_caption(place, tally, options)}")
    remove_made()


def _postgres(place: Place, tally: Tally, options: argparse.Namespace) -> None:
    with backup_postgres.filled(place, options.size) as made:
        _pairs(tally, options, lambda index: backup_postgres.measure(
            made, tally, index, slow=index < options.slow_pairs
        ))  # fmt: skip


def _pool(place: Place, tally: Tally, options: argparse.Namespace) -> None:
    with backup_pool.filled(place, options.size) as made:
        _pairs(tally, options, lambda index: backup_pool.measure(made, tally, index, options.size))


def _memory(place: Place, tally: Tally, options: argparse.Namespace) -> None:
    with backup_memory.filled(place, options.stream) as made:
        backup_memory.measure(made, tally, everything=not options.stores_only)


def _downtime(place: Place, tally: Tally, options: argparse.Namespace) -> None:
    with backup_downtime.filled(place, options.size // 2) as made:
        _pairs(tally, options, lambda _: backup_downtime.measure(made, tally))


def _pairs(tally: Tally, options: argparse.Namespace, measure: Callable[[int], None]) -> None:
    for index in range(options.pairs):
        print(f"pair {index + 1} of {options.pairs}", flush=True)
        tally.add(LOADS, os.getloadavg()[0])
        measure(index)


def _rows(options: argparse.Namespace) -> tuple[Row, ...]:
    rows = (*backup_postgres.ROWS, *backup_pool.ROWS, *backup_memory.ROWS, *backup_downtime.ROWS)
    sizes = {"{size}": options.stream, "{half}": options.size // 2}
    return tuple(_sized(row, sizes) for row in rows)


def _sized(row: Row, sizes: Mapping[str, int]) -> Row:
    what = row.what
    for name, size in sizes.items():
        what = what.replace(name, f"{size / 1024**3:.1f} GiB")
    return replace(row, what=what)


def _caption(place: Place, tally: Tally, options: argparse.Namespace) -> str:
    notes = (
        f"{options.size / 1024**3:.1f} GiB of rows, and of files.",
        "The whole command is recorded by a Prefect server beside it." if options.prefect else "Without Prefect.",
        "All is read from the page cache.",
    )
    return caption(tally.of(LOADS), os.cpu_count() or 1, disk_of(place.files, tally.of(DISK)), notes)


def _guardians_gone(home: Path) -> None:
    """Wait for those who watch over stops: they look every few seconds, into a directory that goes away now."""

    def none() -> bool:
        lines = (_command_line(path) for path in Path("/proc").glob("[0-9]*/cmdline"))
        return not any("tasks.backup.guardian" in words and str(home) in words for words in lines)

    poll(none, 30, every=0.5)


def _command_line(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split("\0")
    except OSError:
        return []


@contextlib.contextmanager
def _prefect(place: Place, wanted: bool) -> Iterator[None]:
    with place.prefect() if wanted else contextlib.nullcontext():
        yield


def _install() -> None:
    missing = [name for name in PEERS if shutil.which(name) is None]
    if missing:
        print(f"installing {', '.join(missing)}", flush=True)
        subprocess.run(("apt-get", "install", "-y", "-qq", *missing), check=True, capture_output=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=parse_size, default="2G", help="of the database, and of the pool's volume")
    parser.add_argument("--stream", type=parse_size, default="5G", help="what streams while memory is watched")
    parser.add_argument("--pairs", type=int, default=5, help="how often everything is measured")
    parser.add_argument("--slow-pairs", type=int, default=5, help="how often PostgreSQL's slow peers are")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; may be repeated")
    parser.add_argument("--stores-only", action="store_true", help="memory without configuration and images")
    parser.add_argument("--no-prefect", dest="prefect", action="store_false", help="unrecorded runs")
    parser.add_argument("--scratch", type=Path, help="where everything is written; the usual place by default")
    parser.add_argument("--samples", type=Path, help="a file that keeps the samples")
    parser.add_argument("--add", action="store_true", help="go on with the samples of that file")
    parser.add_argument("--port", type=int, default=21501, help="of the bench's own Prefect server")
    return parser.parse_args()


if __name__ == "__main__":
    main()

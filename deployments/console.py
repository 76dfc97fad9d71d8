"""What a person sees: steps with times, tables, JSON for programs, colour only on a terminal."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

__all__ = ["BAD", "DIM", "GOOD", "Text", "err", "lines", "out", "say", "show_json", "show_logs", "step", "table"]


class Lines(Console):
    """A console whose reader may go away (`| head`): that costs the lines, not the work."""

    def on_broken_pipe(self) -> None:
        """Go on in silence; Rich would end the thread that printed."""
        self.quiet = True


out = Lines(highlight=False, soft_wrap=True)
err = Lines(stderr=True, highlight=False, soft_wrap=True)

GOOD, BAD, DIM = "green", "bold red", "dim"


def say(line: str, style: str = "") -> None:
    """One line for a person."""
    out.print(Text(line, style=style))


def show_json(value: Any) -> None:
    """The answer for a program, alone on standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def show_logs(*, to_stderr: bool = False) -> None:
    """Print the working code's log records as they come: progress is logging on `ops`."""
    logger = logging.getLogger("ops")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.handlers = [_Lines(err if to_stderr else out)]


class _Lines(logging.Handler):
    """Log records as plain lines; warnings in yellow, errors in red, on a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        style = BAD if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else ""
        self.console.print(Text(f"  {record.getMessage()}", style=style))


class Live(logging.Handler):
    """Names, behind a spinner, the services that are worked on or waited for, and for how long."""

    def __init__(self, status: Status, title: str) -> None:
        super().__init__()
        self.status, self.title = status, title
        self.since: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record of tasks.work.Work.waiting."""
        service = str(getattr(record, "service", ""))
        if record.getMessage() == "begin":
            self.since.setdefault(service, time.monotonic())
        else:
            self.since.pop(service, None)
        self.show()

    def show(self) -> None:
        """Write the line anew."""
        now = time.monotonic()
        waited = sorted(dict(self.since).items(), key=lambda item: item[1])
        names = ", ".join(f"{service} {now - began:.0f} s" for service, began in waited[:6])
        more = f" and {len(waited) - 6} more" if len(waited) > 6 else ""
        self.status.update(f"{self.title} … {names}{more}")


@contextmanager
def live(title: str) -> Iterator[None]:
    """Show progress behind a spinner on a terminal; nothing elsewhere."""
    if not out.is_terminal:
        yield
        return
    logger, stop = logging.getLogger("ops-live"), threading.Event()
    with out.status(f"{title} …") as status:
        handler = Live(status, title)

        def tick() -> None:
            while not stop.wait(0.5):
                handler.show()

        logger.addHandler(handler)
        threading.Thread(target=tick, daemon=True).start()
        try:
            yield
        finally:
            stop.set()
            logger.removeHandler(handler)


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], styles: Callable[[Any], str] | None = None
) -> None:
    """A table: coloured and fitted to a terminal, aligned plain lines elsewhere.

    Args:
        columns: Headings.
        rows: Cells; None is shown empty.
        styles: Style of a whole row, from its cells.
    """
    text = [[_cell(cell) for cell in row] for row in rows]
    if out.is_terminal:
        fitted = Table(*columns, box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for row, cells in zip(rows, text, strict=True):
            fitted.add_row(*(Text(cell) for cell in cells), style=styles(row) if styles else "")
        out.print(fitted, soft_wrap=False)
        return
    widths = [max([len(name), *(len(row[i]) for row in text)]) for i, name in enumerate(columns)]
    for line in (list(columns), *text):
        out.print(Text(_line(line, widths)))


def lines(title: str, entries: Sequence[str]) -> None:
    """A short list under a title; nothing when it is empty."""
    if entries:
        say(f"{title}:")
        for entry in entries:
            say(f"  - {entry}")


def _cell(value: Any) -> str:
    return "" if value is None else " ".join(str(value).split())


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def step(name: str, work: Callable[[], str]) -> str:
    """Do one step of `up`: what it did and how long it took, live on a terminal."""
    begin = time.monotonic()
    with live(name):
        said = work()
    line = Text(f"{name:<12} {said:<52} {time.monotonic() - begin:6.1f} s")
    out.print(line)
    return said

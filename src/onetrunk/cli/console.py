"""What the command line prints: results, notes, one progress bar for everything that takes long."""

from __future__ import annotations

import logging

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from onetrunk.data.notes import Notes

# Results go to stdout; everything a person watches goes to stderr.
console = Console(stderr=True, highlight=False, soft_wrap=True)


def progress_bar(period: float = 30.0) -> Progress:
    """A bar with count, elapsed time and ETA, and a free text ``note`` field after it.

    The ETA is by the speed of the last ``period`` seconds: longer where steps are.
    Off a terminal nothing is drawn until the end, so that log files stay readable.
    """
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        speed_estimate_period=period,
    )


def say(notes: Notes) -> None:
    """Print what reading changed or found odd, a line a kind."""
    for line in notes.lines():
        console.print("[yellow]note:[/]", escape(line))


class LogHandler(logging.Handler):
    """Prints what the library logs: a warning as a note, anything else as it is."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one message."""
        note = "[yellow]note:[/] " if record.levelno >= logging.WARNING else ""
        console.print(note + escape(record.getMessage()))


def show_log() -> None:
    """Print from here on what the library logs."""
    logger = logging.getLogger("onetrunk")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, LogHandler) for handler in logger.handlers):
        logger.addHandler(LogHandler())


def stdout() -> Console:
    """A console for results."""
    return Console(highlight=False, soft_wrap=True)

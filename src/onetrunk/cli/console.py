"""What the command line prints: results, notes, and a bar for everything that takes long."""

import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as rich_progress
from rich.console import Console
from rich.text import Text

from onetrunk.progress import Progress


def _console(stderr: bool) -> Console:
    # What a user wrote is printed as it is, be it "[red]" or ":smile:"; our colours are Text.
    return Console(stderr=stderr, highlight=False, soft_wrap=True, markup=False, emoji=False)


# Results go to stdout; everything a person watches goes to stderr.
console = _console(stderr=True)


def stdout() -> Console:
    """A console for results."""
    return _console(stderr=False)


_SHOWN = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"}
_SHOWN |= dict.fromkeys(range(0x7F, 0xA0), 0xFFFD)


def printable(text: str) -> str:
    """A text of the same length with a picture in place of each control character: a terminal
    would obey it."""
    return text.translate(_SHOWN)


def say(lead: str, style: str, message: object) -> None:
    """Print a line on stderr that begins with a coloured word."""
    console.print(Text(lead, style=style), printable(str(message)))


def wrote(what: object) -> None:
    """Say what a verb wrote."""
    say("wrote", "bold green", what)


def serve_hint(page: object) -> None:
    """Say how a page is opened."""
    command = shlex.join(["python3", "-m", "http.server", "-d", str(page), "8000"])
    say("open it:", "bold", f"{command}   then http://localhost:8000")


BAR, NUMBERS = 12, 24
"""Columns of a terminal for the bar, and for count, time, ETA and the gaps between them."""


class _Note(rich_progress.ProgressColumn):
    """The note, in what is left of a line: the numbers matter more."""

    max_refresh = 0.1

    def render(self, task: rich_progress.Task) -> Text:
        """Cut to the line."""
        count = 2 * len(f"{task.total or 0:.0f}")
        left = console.width - BAR - NUMBERS - count - len(task.description)
        note = Text(printable(str(task.fields["note"])), no_wrap=True)
        note.truncate(max(left, 0), overflow="ellipsis")
        return note


def progress_bar(period: float = 30.0) -> rich_progress.Progress:
    """A bar with count, elapsed time and ETA, and a free text ``note`` field after it.

    The ETA follows from the speed of the last ``period`` seconds. Off a terminal nothing is drawn
    until the end, so that log files stay readable.
    """
    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}", style="bold", markup=False),
        rich_progress.BarColumn(bar_width=BAR),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TextColumn("ETA"),
        rich_progress.TimeRemainingColumn(),
        _Note(),
        console=console,
        speed_estimate_period=period,
    )


@contextmanager
def watched(title: str, at_once: str = "", early: str = "") -> Iterator[Progress]:
    """A :class:`Progress` that draws one bar, from the first time that it is called.

    Work that ends without a call is shown as one step with the note ``at_once``, if there is one.
    ``early`` is the note of a bar that ends before its last step.
    """
    bar = progress_bar()
    task: rich_progress.TaskID | None = None

    def show(what: str, done: int, total: int | None) -> None:
        nonlocal task
        if task is None:
            bar.start()
            task = bar.add_task(title, total=total, note=what)
        bar.update(task, completed=done, total=total, note=what)

    try:
        yield show
        if task is None and at_once:
            show(at_once, 1, 1)
        elif early and task is not None and not bar.finished:
            bar.update(task, note=early)
    finally:
        if task is not None:
            bar.stop()


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            say("note:", "yellow", record.getMessage())
        else:
            console.print(record.getMessage())


@contextmanager
def printed_notes() -> Iterator[None]:
    """Inside, what the library logs is printed: a warning as a note, anything else as it is."""
    logger, handler = logging.getLogger("onetrunk"), _Notes()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)

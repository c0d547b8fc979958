"""A bar for everything that takes long."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich import progress as rich_progress
from rich.text import Text

from onetrunk.cli.console import console, printable
from onetrunk.progress import Progress

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

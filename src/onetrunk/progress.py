"""How long work tells whoever waits for it. Only the command line draws bars and prints."""

from typing import Protocol


class Progress(Protocol):
    """Called again and again while something takes long.

    ``what`` is going on now, in a few words. ``done`` of ``total`` steps are done; ``total`` is
    None where nobody knows. It may raise, KeyboardInterrupt for example, to stop the work.
    """

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Take note."""


def silent(what: str, done: int, total: int | None) -> None:
    """A :class:`Progress` that shows nothing."""

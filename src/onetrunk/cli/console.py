"""What the command line prints: results and notes."""

import logging
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


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

"""Notes: what reading changed or what looked odd, counted by kind, with the first places."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger("onetrunk")

PLACES = 3
"""How many places are kept for each kind of note."""


@dataclass
class Note:
    """How often one kind of thing happened, and where it happened first."""

    count: int = 0
    places: list[str] = field(default_factory=list)
    counted: bool = True
    """Whether a line has the count, which says nothing of what holds for a whole source."""


class Notes:
    """Counts of changes and oddities, by kind, in the order in which they first occurred.

    >>> notes = Notes()
    >>> notes.add("IOB1 tags converted to IOB2", "a.conll:7")
    >>> notes.lines()
    ['IOB1 tags converted to IOB2: 1 (a.conll:7)']
    """

    def __init__(self) -> None:
        self.found: dict[str, Note] = {}
        """By kind, which is a few words in the plural."""
        self.row_places: list[str] | None = None
        """Of every row that is read its place; None: they are not kept."""

    def __repr__(self) -> str:
        return "\n".join(self.lines()) or "no notes"

    def add(self, what: str, where: str, count: int = 1) -> None:
        """Add ``count`` to the kind ``what``; its first places are kept."""
        note = self.found.setdefault(what, Note())
        note.count += count
        if len(note.places) < PLACES:
            note.places.append(where)

    def say(self, what: str, source: str) -> None:
        """Add what holds for a whole source: it is told once for each, and not counted."""
        note = self.found.setdefault(what, Note(counted=False))
        if source not in note.places:
            note.count += 1
            note.places.append(source)

    def update(self, other: Notes) -> None:
        """Add the notes of another reading."""
        for what, added in other.found.items():
            note = self.found.setdefault(what, Note(counted=added.counted))
            note.count += added.count
            note.places += added.places[: PLACES - len(note.places)]

    def lines(self) -> list[str]:
        """Return one line for each kind: the kind, the count, and the first places."""
        return [
            what
            + f": {note.count:,}" * note.counted
            + f" ({', '.join(note.places)}"
            + (", …)" if note.count > len(note.places) else ")")
            for what, note in self.found.items()
        ]

    def log(self) -> None:
        """Log each line as a warning of the logger ``onetrunk``; the command line prints those."""
        for line in self.lines():
            logger.warning(line)

    @classmethod
    def from_json(cls, found: dict[str, dict[str, Any]]) -> Notes:
        """Return the notes from which :meth:`as_json` made ``found``."""
        notes = cls()
        notes.found = {
            what: Note(note["count"], list(note["first"]), note.get("counted", True))
            for what, note in found.items()
        }
        return notes

    def as_json(self) -> dict[str, dict[str, Any]]:
        """Return the notes in the form that report files have."""
        return {
            what: {"count": note.count, "first": note.places}
            | ({} if note.counted else {"counted": False})
            for what, note in self.found.items()
        }


@contextmanager
def logged() -> Iterator[Notes]:
    """Notes that are logged at the end; also before an error, which they may explain."""
    notes = Notes()
    try:
        yield notes
    finally:
        notes.log()


@contextmanager
def overheard() -> Iterator[list[str]]:
    """The warnings that this thread logs inside, as lines: for one who asks from elsewhere and sees
    no log."""
    lines: list[str] = []
    thread = threading.get_ident()

    class _Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.thread == thread:
                lines.append(record.getMessage())

    handler = _Lines(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)

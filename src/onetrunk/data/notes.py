"""What reading changed or found odd: counted, with the first places, said aloud by the verbs."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

logger = logging.getLogger("onetrunk")

PLACES = 3
"""How many places are kept for each kind of note."""


@dataclass
class Note:
    """One kind of thing, how often it happened and where it happened first."""

    count: int = 0
    places: list[str] = field(default_factory=list)


class Notes:
    """Counted repairs and findings, in the order in which they first came up.

    >>> notes = Notes()
    >>> notes.add("IOB1 tags converted to IOB2", "a.conll:7")
    >>> notes.lines()
    ['IOB1 tags converted to IOB2: 1 (a.conll:7)']
    """

    def __init__(self) -> None:
        self.found: dict[str, Note] = {}

    def add(self, what: str, where: str, count: int = 1) -> None:
        """Count ``what``; the first places of each kind are kept."""
        note = self.found.setdefault(what, Note())
        note.count += count
        if len(note.places) < PLACES:
            note.places.append(where)

    def update(self, other: Notes) -> None:
        """Take over the notes of another reading."""
        for what, note in other.found.items():
            mine = self.found.setdefault(what, Note())
            mine.count += note.count
            mine.places += note.places[: PLACES - len(mine.places)]

    def lines(self) -> list[str]:
        """One line a kind: what, how often, where first."""
        return [
            f"{what}: {note.count:,} ({', '.join(note.places)}"
            + (", …)" if note.count > len(note.places) else ")")
            for what, note in self.found.items()
        ]

    def log(self) -> None:
        """Warn of each line through the logger ``onetrunk``; the command line prints those."""
        for line in self.lines():
            logger.warning(line)

    @classmethod
    def from_json(cls, found: dict[str, dict[str, Any]]) -> Notes:
        """The notes that :meth:`as_json` wrote."""
        notes = cls()
        notes.found = {
            what: Note(note["count"], list(note["first"])) for what, note in found.items()
        }
        return notes

    def as_json(self) -> dict[str, dict[str, Any]]:
        """For a report file."""
        return {
            what: {"count": note.count, "first": note.places} for what, note in self.found.items()
        }

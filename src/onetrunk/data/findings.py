"""Oddities of rows that are not errors: they are counted while reading, and nothing is changed."""

from collections.abc import Sequence

import numpy as np

from onetrunk.data.formats.table import Table
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText, Pair
from onetrunk.errors import UserError

RECENT = 2**20
"""How many hashes are kept in a set, which is fast, before they are sorted into an array."""

Row = AnnotatedText | LabelledText | Pair | str | tuple[str, ...]


class Findings:
    """Notes the duplicates, the odd spellings of labels and the empty texts of one source."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._rows = Seen()
        self._spellings: dict[str, str] = {}  # without case and space -> as it first occurred
        self._labels: set[str] = set()

    def check(self, row: Row | UserError, table: Table, index: int) -> None:
        """Check a row, which was read from the row of a table with this index."""
        if isinstance(row, UserError):
            return
        texts, annotations, labels = _parts(row)
        if any(not text or text.isspace() for text in texts):
            self._notes.add("texts that are empty or white space", table.at(index))
        if not self._rows.add("\0".join([*texts, "", *annotations])):
            self._notes.add("duplicate rows (same text and labels)", table.at(index))
        for label in sorted(labels - self._labels):
            self._labels.add(label)
            first = self._spellings.setdefault("".join(label.casefold().split()), label)
            if first != label:
                where = f"{table.at(index)}: {label!r} and {first!r}"
                self._notes.add("labels that differ from another only by case or space", where)


def _parts(row: Row) -> tuple[Sequence[str], Sequence[str], set[str]]:
    """Return the texts of a row, its annotations as strings, and the labels that they name."""
    match row:
        case AnnotatedText():
            return [row.text], list(map(str, row.entities)), {kind for _, _, kind in row.entities}
        case LabelledText():
            return [row.text], row.labels, set(row.labels)
        case Pair():
            return [row.query, row.positive, *row.negatives], (), set()
        case str():
            return [row], (), set()
        case _:
            return row, (), set()


class Seen:
    """A set of texts that keeps 64-bit hashes: 8 to 16 bytes each beyond the first :data:`RECENT`.

    Among a hundred million texts, the probability that one is taken for another is 3 in 10,000.
    """

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.int64)
        self._recent: set[int] = set()

    def add(self, text: str) -> bool:
        """Add a text; return False if it is there already."""
        key = hash(text)
        if key in self._recent:
            return False
        if len(self._sorted):
            position = int(self._sorted.searchsorted(key))
            if position < len(self._sorted) and int(self._sorted[position]) == key:
                return False
        self._recent.add(key)
        if len(self._recent) > max(RECENT, len(self._sorted) // 16):
            recent = np.fromiter(self._recent, np.int64, len(self._recent))
            self._sorted = np.sort(np.concatenate([self._sorted, recent]), kind="stable")
            self._recent.clear()
        return True

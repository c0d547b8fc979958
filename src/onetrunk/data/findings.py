"""What is odd about rows but not wrong: counted while they are read, never changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xxhash

from onetrunk.data.formats.table import Table
from onetrunk.data.notes import Notes

RECENT = 2**20
"""Hashes that are kept in a set, which is fast, before they are sorted into an array."""


class Findings:
    """Looks at every row of a source and notes duplicates, stray spellings and empty texts."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._seen = Seen()
        self._spellings: dict[str, str] = {}
        self._labels: set[str] = set()

    def see(
        self, table: Table, row: int, texts: Sequence[str], tags: Sequence[str], labels: set[str]
    ) -> None:
        """Look at one row; ``tags`` are what it says of its texts, ``labels`` the names in them."""
        for text in texts:
            if not text or text.isspace():
                self._notes.add("texts that are empty or white space", table.at(row))
                break
        if not self._seen.add("\0".join([*texts, "", *tags])):
            self._notes.add("duplicate rows (same text and labels)", table.at(row))
        for label in sorted(labels - self._labels):
            self._labels.add(label)
            first = self._spellings.setdefault("".join(label.casefold().split()), label)
            if first != label:
                where = f"{table.at(row)}: {label!r} and {first!r}"
                self._notes.add("labels that differ from another only by case or space", where)


class Seen:
    """A set of texts by 64-bit hashes: 8 to 16 bytes each beyond the first :data:`RECENT`.

    Among a hundred million texts, one is taken for another with a probability of 3 in 10,000.
    """

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.uint64)
        self._recent: set[int] = set()

    def add(self, text: str) -> bool:
        """Add a text; false if it was there."""
        # A text may hold half a surrogate pair: whoever gave it may be told so, but not here.
        key = xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))
        if key in self._recent:
            return False
        if len(self._sorted):
            at = int(self._sorted.searchsorted(np.uint64(key)))
            if at < len(self._sorted) and int(self._sorted[at]) == key:
                return False
        self._recent.add(key)
        if len(self._recent) > max(RECENT, len(self._sorted) // 16):
            recent = np.fromiter(self._recent, np.uint64, len(self._recent))
            self._sorted = np.sort(np.concatenate([self._sorted, recent]), kind="stable")
            self._recent.clear()
        return True

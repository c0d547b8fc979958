"""Oddities of rows that are not errors: they are counted while reading, and nothing is changed."""

import unicodedata
from collections.abc import Sequence

import numpy as np

from onetrunk.data.formats.fasttext import PREFIX
from onetrunk.data.formats.inline import has_brackets
from onetrunk.data.formats.labelstudio_task import is_address
from onetrunk.data.formats.table import Table
from onetrunk.data.notes import Notes
from onetrunk.data.numbers import number_of
from onetrunk.data.rows import AnnotatedText, LabelledText, Pair
from onetrunk.data.words import is_blank
from onetrunk.errors import UserError

RECENT = 2**20
"""How many hashes are kept in a set, which is fast, before they are sorted into an array."""

MISSING = {
    "nan", "NaN", "NA", "N/A", "n/a", "<NA>", "null", "NULL", "None", "NaT",
    "#N/A", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!",
}  # fmt: skip
"""What pandas, databases and spreadsheets write where there is no value."""

Row = AnnotatedText | LabelledText | Pair | str | tuple[str, ...]


class Findings:
    """Notes the duplicates, the odd spellings of labels and the empty texts of one source."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        """Where they are noted."""
        self._rows = Seen()
        self._texts = Seen()
        self._spellings: dict[str, str] = {}  # as it looks, without case -> as it first occurred
        self._labels: set[str] = set()

    def check(self, row: Row | UserError, table: Table, index: int) -> None:
        """Check a row, which was read from the row of a table with this index."""
        if self.notes.row_places is not None:
            self.notes.row_places.append(table.at(index))
        if isinstance(row, UserError):
            return
        texts, annotations, labels = _parts(row)
        if any(map(is_blank, texts)):
            self.notes.add("texts that are empty or white space", table.at(index))
        if missing := next((text for text in texts if text in MISSING), None):
            what = "texts that other programs write for a missing value, read as texts"
            self.notes.add(what, f"{table.at(index)}: {missing!r}")
        if any(map(is_address, texts)):
            self.notes.add("texts that are only an address, which is not opened", table.at(index))
        if any(map(has_brackets, texts)):
            what = "texts with entities marked inside, [words](type), whose marks are read as text"
            self.notes.add(what, table.at(index))
        if any(text.startswith(PREFIX) for text in texts):
            self.notes.add("texts that begin with fastText's labels, read as text", table.at(index))
        is_new = isinstance(row, Pair | str | tuple) or self._texts.add(row.text)
        if not self._rows.add("\0".join([*texts, "", *annotations])):
            self.notes.add("duplicate rows (same text and labels)", table.at(index))
        elif not is_new:
            self.notes.add("rows whose text occurs before with other labels", table.at(index))
        for label in sorted(labels - self._labels):
            self._labels.add(label)
            if label in MISSING:
                what = "labels that other programs write for a missing value, read as labels"
                self.notes.add(what, f"{table.at(index)}: {label!r}")
            first = self._spellings.setdefault(_number(label) or _plain(_visible(label)), label)
            if first != label:
                what, shown = "case or space", repr
                if _number(label) is not None:
                    what = "how a number is written"
                elif _plain(first) != _plain(label):
                    what, shown = "invisible characters or Unicode form", ascii
                where = f"{table.at(index)}: {shown(label)} and {shown(first)}"
                self.notes.add(f"labels that differ from another only by {what}", where)


def _number(label: str) -> str | None:
    """Return one spelling for each number; None for what is no number."""
    number = number_of(label)
    return None if number is None else repr(number)


def _plain(label: str) -> str:
    """Return a label without case and space."""
    return "".join(label.casefold().split())


def _visible(text: str) -> str:
    """Return a text in NFKC without invisible and control characters: what looks alike is then
    equal."""
    shown = "".join(
        char for char in text if char.isspace() or unicodedata.category(char) not in ("Cf", "Cc")
    )
    return unicodedata.normalize("NFKC", shown)


def _parts(row: Row) -> tuple[Sequence[str], Sequence[str], set[str]]:
    """Return the texts of a row, its annotations as strings, and the labels that they name."""
    match row:
        case AnnotatedText():
            return [row.text], list(map(str, row.entities)), {kind for _, _, kind in row.entities}
        case LabelledText():
            return [row.text], sorted(row.labels), set(row.labels)
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

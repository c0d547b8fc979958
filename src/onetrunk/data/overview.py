"""What is in a labelled file, before anything is trained on it: ``onetrunk data FILE``."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from onetrunk.data.formats.table import USUAL, Columns
from onetrunk.data.locate import Located, located
from onetrunk.data.notes import Notes
from onetrunk.data.numbers import are_numbers
from onetrunk.data.oddities import Row, note_oddities, one_answer
from onetrunk.data.rows import AnnotatedText, numbered
from onetrunk.data.sources import read_ner, stream_classification, stream_ner, stream_nested
from onetrunk.data.words import words_of
from onetrunk.errors import UserError, nearest

READERS: Mapping[str, Callable[..., Iterator[Row]]] = {
    "ner": stream_ner,
    "nested-ner": stream_nested,
    "tc": stream_classification,
    "multi-label": partial(stream_classification, several=True),
    "rating": partial(stream_classification, numbers=True),
}
"""The families whose rows are known here, and what reads them."""

FIRST = 1000
"""So many rows are read at a first look."""
SHOWN = 12
"""An overview prints as so many labels."""


@dataclass(frozen=True)
class Overview:
    """What was read from a source."""

    source: str
    family: str
    examples: Sequence[Row]
    labels: dict[str, int]
    """By label, the rows that have it; by entity type, the entities. The most frequent first."""
    without: int
    """Rows without any label or entity."""
    words: tuple[int, float, int, int]
    """Words of a text: the fewest, the median, the 95th percentile, the most."""
    notes: Notes
    """What reading changed and what looks odd."""

    def __repr__(self) -> str:
        labels = [f"{label} {count:,}" for label, count in self.labels.items()]
        shown = ", ".join(labels[:SHOWN]) + f", … ({len(labels):,} in all)" * (len(labels) > SHOWN)
        without = f", {self.without:,} without any" if self.without else ""
        notes = [f"note: {line}" for line in self.notes.lines()]
        lines = [f"{self.source}: {self.family}, {self.rows:,} rows", f"{shown}{without}", *notes]
        return "\n  ".join(lines)

    def place(self, row: int) -> str:
        """Where a row is, counted from zero: as notes say it."""
        places = self.notes.row_places or []
        return places[row] if row < len(places) else numbered(self.source)(row)

    def place_inside(self, row: int) -> str:
        """:meth:`place` without the name of the source."""
        return self.place(row).removeprefix(self.source).lstrip("/:, ")

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.examples)

    def as_json(self) -> dict[str, Any]:
        """The overview for machines."""
        shortest, middle, long, longest = self.words
        words = {"fewest": shortest, "median": middle, "of 95 %": long, "most": longest}
        return {
            "source": self.source,
            "family": self.family,
            "rows": self.rows,
            "labels": self.labels,
            "rows_without_labels": self.without,
            "words": words,
            "notes": self.notes.as_json(),
        }


def overview(
    source: Any,
    family: str | None = None,
    split: str = "train",
    columns: Columns = USUAL,
) -> Overview:
    """Read one split of a source as the rows of a family, and look at them.

    Without ``family`` it is found out: ``ner`` if the rows have entities; otherwise ``tc``, or
    ``multi-label`` or ``rating`` if the labels look so. ``columns`` are those to read, if they do
    not have the usual names.

    Raises :class:`UserError` for a source that cannot be read, and for an unknown family.
    """
    spec = located(source, split, columns)
    if family is None:
        family, rows, notes = _guessed(spec)
    elif family in READERS:
        notes = _notes()
        rows = list(READERS[family](spec, notes))
    else:
        raise UserError(f"unknown family {family!r}; {nearest(family, READERS)}")
    name = str(source) if isinstance(source, str | Path) else f"the {split} rows"
    labels = Counter(label for row in rows for label in _labels(row))
    lengths = sorted(len(words_of(row.text)) for row in rows)
    note_oddities(rows, family, labels, lengths, name, notes)
    return Overview(
        name,
        family,
        rows,
        dict(labels.most_common()),
        sum(not _labels(row) for row in rows),
        (lengths[0], median(lengths), lengths[ceil(0.95 * len(lengths)) - 1], lengths[-1]),
        notes,
    )


def first_look(source: str | Path, family: str, split: str, columns: Columns = USUAL) -> None:
    """Read the first rows of one split as the rows of a family, to find faults in no time.

    A data set of the hub is not opened. Raises :class:`UserError` as reading all rows would; and
    for training rows, if these are all of them, that leave nothing to learn. If not even the first
    row can be read, the message names another family that certainly reads the source.
    """
    if str(source).startswith("hub:"):
        return
    spec = located(source, split, columns)
    rows: list[Row] = []
    notes = Notes()
    try:
        rows += islice(READERS[family](spec, notes), FIRST + 1)
    except UserError as error:
        notes.log()  # they may explain it
        other = None if rows else _other_family(spec, family)
        if other is None:
            raise
        option = f": --family {other}" if split == "train" else ""
        raise UserError(f"{error}; these look like rows of {other}{option}") from None
    answers = {tuple(sorted(_labels(row))) for row in rows}
    if split == "train" and len(rows) <= FIRST:
        if "ner" in family and answers == {()}:
            raise UserError(f"{source}: no row has an entity: there is nothing to learn")
        if "ner" not in family and len(answers) == 1:
            raise UserError(f"{source}: {one_answer(*answers)}")


def _other_family(spec: Any, family: str) -> str | None:
    """The family that certainly reads rows of which this one does not even read the first."""
    try:
        other, rows, _ = _guessed(spec)
    except UserError:
        return None
    if ("ner" in family) == ("ner" in other):
        return None
    answers = {tuple(_labels(row)) for row in rows}
    # Labels repeat, and some row has an entity.
    is_certain = any(answers) if "ner" in other else len(answers) < len(rows)
    return other if is_certain else None


def _notes() -> Notes:
    """Notes that keep the place of every row."""
    notes = Notes()
    notes.row_places = []
    return notes


def _labels(row: Row) -> list[str]:
    if isinstance(row, AnnotatedText):
        return [kind for _, _, kind in row.entities]
    return list(row.labels)


def _guessed(spec: Any) -> tuple[str, Sequence[Row], Notes]:
    """Read a source as entities if it has some, or else as labels."""
    notes, nothing_found = _notes(), None
    try:
        marked = read_ner(spec, notes)
    except UserError as error:
        not_ner = error
    else:
        if any(row.entities for row in marked):
            return "ner", marked, notes
        nothing_found = ("ner", marked, notes)
        not_ner = UserError("no row has an entity")
    notes = _notes()
    indicators = isinstance(spec, Located) and len(spec.columns.labels) > 1
    try:
        labelled = list(stream_classification(spec, notes, numbers=True, several=indicators))
    except UserError as error:
        if several := _several(spec):
            return "multi-label", *several
        if nothing_found:
            return nothing_found
        if str(error) == str(not_ner):
            raise
        how = "--family chooses one"
        raise UserError(f"as labels (tc): {error}; as entities (ner): {not_ner}; {how}") from None
    labels = {label for row in labelled for label in row.labels}
    if nothing_found and not labels:
        return nothing_found
    if indicators:
        return "multi-label", labelled, notes
    if any(len(row.labels) != 1 for row in labelled) and (several := _several(spec)):
        return "multi-label", *several
    is_scale = any("." in label for label in labels) and are_numbers(labels)
    return "rating" if is_scale else "tc", labelled, notes


def _several(spec: Any) -> tuple[Sequence[Row], Notes] | None:
    """The rows of a source as texts with any number of labels; None if all have one."""
    notes = _notes()
    try:
        rows = list(READERS["multi-label"](spec, notes))
    except UserError:
        return None
    return (rows, notes) if any(len(_labels(row)) > 1 for row in rows) else None

"""What looks odd in labelled rows: texts that lost characters, labels that are rare, entities that
are not marked everywhere. Nothing is refused here; each finding becomes a note."""

from collections import Counter
from collections.abc import Iterator, Sequence

import regex

from onetrunk.data.notes import Notes
from onetrunk.data.numbers import are_numbers
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.data.words import words_of
from onetrunk.errors import closest

Row = AnnotatedText | LabelledText

FEW = 8
"""Rows of a label below which an app cannot be trusted with it."""
LONG = 90
"""Words of a text above which it is read in several windows: 128 tokens hold about as many."""
MISSPELT = 3
"""A label that is rarer by this factor than one that is written nearly so may be misspelt."""
NGRAM = 5
"""Words of the longest entity that is looked for where it is not marked."""

_JOINED = regex.compile("[,;|#]")
_ODD = {
    "texts with the sign \N{REPLACEMENT CHARACTER}: characters were lost": "\ufffd",
    "texts that look like UTF-8 read as Windows-1252": "Ã[\u0080-\u00bf]|â€|Â[\u00a0-\u00bf]",
    "texts with control characters": r"[\p{Cc}--[\t\n\r]]",
    "texts with invisible characters": "[\u00ad\u200b\u2060\ufeff]",
    "texts with marks that turn the direction of writing": "[\u202a-\u202e\u2066-\u2069]",
    "texts with HTML tags or entities": r"</?[a-zA-Z][^<>]*>|&(?:[a-z]+|#\d+);",
}
_ODD_PATTERNS = {what: regex.compile(f"(?V1){pattern}") for what, pattern in _ODD.items()}


def note_oddities(
    rows: Sequence[Row],
    family: str,
    labels: Counter[str],
    lengths: Sequence[int],
    name: str,
    notes: Notes,
) -> None:
    """Note all that looks odd in the rows of a family.

    ``labels`` counts the rows of each label, or the entities of each type; ``lengths`` are the
    words of the texts, in any order; ``name`` is what notes call the source.
    """
    _note_texts(rows, lengths, name, notes)
    if family in ("ner", "nested-ner"):
        _note_unmarked([row for row in rows if isinstance(row, AnnotatedText)], name, notes)
    if family == "tc":
        note_labels(labels, len(rows), name, notes)
    if family != "rating":
        _note_misspelt(labels, notes)
        for label, count in labels.items():
            if count < FEW:
                notes.add(f"labels with fewer than {FEW} rows or entities", f"{label!r}: {count}")


def one_answer(labels: Sequence[str]) -> str:
    """Why nothing can be learnt from rows that all have the same labels."""
    shown = " and ".join(map(repr, labels))
    which = f"have the label {shown}" if labels else "are without a label"
    return f"all rows {which}: there is nothing to learn; add rows of another label"


def note_labels(labels: Counter[str], rows: int, name: str, notes: Notes) -> None:
    """Note labels that may be several in a cell, numbers that may be a scale, and a column that can
    hardly be one of labels. ``rows`` is how many rows there are."""
    if rows >= FEW and len(labels) > rows / 2:
        what = "columns of labels that hardly repeat, perhaps another column's"
        notes.add(what, f"{name}: {len(labels):,} labels in {rows:,} rows")
    parts = {label: [part.strip() for part in _JOINED.split(label)] for label in labels}
    users = Counter(part for of_label in parts.values() for part in set(of_label))
    for label, of_label in parts.items():
        if len(of_label) > 1 and all(users[part] > 1 for part in of_label):
            notes.add("labels that look like several in a cell", f"{label!r}", labels[label])
    if len(labels) > 2 and are_numbers(labels):
        notes.add("labels that are numbers, read as classes", name, len(labels))
    if "-1" in labels and all(label.isdecimal() for label in labels if label != "-1"):
        what = "labels -1 beside whole numbers, which often says that nobody labelled a row"
        notes.add(what, name, labels["-1"])


def _note_misspelt(labels: Counter[str], notes: Notes) -> None:
    """Note rare labels that are written nearly as a frequent one."""
    for label, count in labels.items():
        frequent = [other for other, others in labels.items() if others >= MISSPELT * count]
        alike = closest(label, frequent) if count <= 2 and len(label) >= 5 else ""
        if alike and not are_numbers([label]):
            what = f"{label!r}: {count}, {alike!r}: {labels[alike]}"
            notes.add("labels that may be misspelt", what)


def _note_texts(rows: Sequence[Row], lengths: Sequence[int], name: str, notes: Notes) -> None:
    for row, place in zip(rows, _places(rows, notes), strict=True):
        for what, pattern in _ODD_PATTERNS.items():
            if match := pattern.search(row.text):
                notes.add(what, f"{place}: {match[0]!a}")
    if long := sum(length > LONG for length in lengths):
        notes.add(f"texts of more than {LONG} words", name, long)


def _places(rows: Sequence[Row], notes: Notes) -> Sequence[str]:
    places = notes.row_places or []
    return places if len(places) == len(rows) else [f"row {n}" for n in range(1, len(rows) + 1)]


def _note_unmarked(rows: Sequence[AnnotatedText], name: str, notes: Notes) -> None:
    """Note texts of entities that stand unmarked elsewhere, and those with several types.

    A text counts if it is marked at least twice, and more often than not.
    """
    types: dict[str, Counter[str]] = {}
    for row in rows:
        for start, end, kind in row.entities:
            types.setdefault(_plain(row.text[start:end]), Counter())[kind] += 1
    unmarked: Counter[str] = Counter()
    places: dict[str, str] = {}
    for row, place in zip(rows, _places(rows, notes), strict=True):
        for start, end in _unmarked(row):
            shown = _plain(row.text[start:end])
            if shown in types:
                unmarked[shown] += 1
                places.setdefault(shown, f"{place}: {row.text[start:end]!r}")
    for shown, count in unmarked.most_common():
        if types[shown].total() >= max(2, count + 1):
            what = "texts of entities that also occur unmarked"
            notes.add(what, f"{places[shown]}, marked {types[shown].total()} times", count)
    for shown, kinds in types.items():
        if len(kinds) > 1:
            listed = " and ".join(f"{kind} {count}" for kind, count in kinds.most_common())
            notes.add("texts that are entities of several types", f"{shown!r}: {listed} times")


def _unmarked(row: AnnotatedText) -> Iterator[tuple[int, int]]:
    """The runs of a few words of a text that touch no entity."""
    words = words_of(row.text)
    free = [
        all(stop <= start or end <= begin for begin, stop, _ in row.entities)
        for start, end in words
    ]
    for first in range(len(words)):
        for last in range(first, min(first + NGRAM, len(words))):
            if not free[last]:
                break
            yield words[first][0], words[last][1]


def _plain(text: str) -> str:
    return " ".join(text.split())

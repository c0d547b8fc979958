"""Labelled rows of a family, read from whatever a user has, and checked."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from onetrunk.data.formats.labelled import KEPT_WHOLE
from onetrunk.data.locate import Located, located
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Place, numbered
from onetrunk.data.sources import USUAL, Columns
from onetrunk.families.base import Family

Source = Any
"""A path, ``hub:NAME[:CONFIG]``, a list of rows, or a pandas, pyarrow or datasets table."""

NAMED_LABELS = 5
"""A note names so many unseen labels."""


def read_labelled(
    family: Family[Any, Any],
    source: Source,
    split: str,
    notes: Notes,
    labels: Sequence[str] | None = None,
    columns: Columns = USUAL,
    strict_labels: bool = True,
) -> tuple[list[Any], Place]:
    """Labelled examples of one split of ``source``, ``train``, ``validation`` or ``test``; and
    where each of them is.

    A file is one split whatever its name; of a folder the files of that split are read.
    ``columns`` are those to read, if they do not have the usual names. A label that is not among
    ``labels``, if these are given, is refused; or noted, if ``strict_labels`` is false. One that
    joins several of them is split, if a text may have several.

    Raises :class:`UserError` if there is no such split, and for a row that the family cannot use.
    """
    reading = Notes()
    reading.row_places = []
    try:
        rows = family.read(located(source, split, columns), reading)
        places = reading.row_places
        place = numbered(source_name(source, split))
        # Of memory, messages name the split. A plug-in's reader may not keep the places.
        if isinstance(source, str | Path | Located) and len(places) == len(rows):
            place = places.__getitem__
        if labels is not None:
            rows = _with_known(family, rows, labels, place, reading)
    finally:
        notes.update(reading)
    family.check_rows(rows, place)
    if rows and split != "train" and not family.label_set(rows):
        what = "sources without any label or entity, from which no score can be told"
        notes.add(what, source_name(source, split))
    if labels is not None and strict_labels:
        family.check_labels(rows, labels, place)
    elif labels is not None:
        unseen = list(family.unseen(rows, labels))
        if unseen and not {*family.label_set(rows)} & {*labels}:
            what = "files none of whose labels training had: do the labels stand in another column?"
            notes.add(what, f"{source_name(source, split)}; the app's labels: {_shown(labels)}")
        _note_unseen(unseen, place, notes)
    return rows, place


def _with_known(
    family: Family[Any, Any], rows: list[Any], labels: Sequence[str], place: Place, notes: Notes
) -> list[Any]:
    """Rows whose labels are split if they join known ones."""
    known = [family.with_known(row, labels) for row in rows]
    split = [
        at for at, (row, other) in enumerate(zip(rows, known, strict=True)) if row is not other
    ]
    for at in split:
        notes.add("cells that join several labels of training, split", place(at))
    kept = notes.found.get(KEPT_WHOLE)
    if kept and kept.count <= len(split):
        del notes.found[KEPT_WHOLE]
    return known


def _note_unseen(unseen: Sequence[tuple[int, str]], place: Place, notes: Notes) -> None:
    names = _shown(sorted({label for _, label in unseen}))
    for row, _ in unseen:
        notes.add(f"labels that training never had count as misses ({names})", place(row))


def _shown(labels: Sequence[str]) -> str:
    others = len(labels) - NAMED_LABELS
    return ", ".join([*labels[:NAMED_LABELS], *([f"{others} more"] if others > 0 else [])])


def source_name(source: Source, split: str) -> str:
    """What messages call a source."""
    return str(source) if isinstance(source, str | Path | Located) else f"the {split} rows"


def address_of(source: Source) -> str:
    """The path or address of a source, as it was given; empty for rows in memory."""
    return str(source) if isinstance(source, str | Path) else ""


def hash_of_texts(family: Family[Any, Any], rows: Sequence[Any]) -> str:
    """A hex SHA-256 of the different texts of rows, in any order. It tells whether an app is scored
    on the very rows that it learnt, and says nothing of a single text."""
    texts = sorted({family.text(row) for row in rows})
    return sha256("\0".join(texts).encode()).hexdigest()

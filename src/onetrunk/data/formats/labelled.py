"""From columns to texts with labels: one label a text, several, or a number."""

from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any

from onetrunk.data.formats.exports import plain_columns
from onetrunk.data.formats.indicators import check_named, check_names, indicated
from onetrunk.data.formats.lists import read_list
from onetrunk.data.formats.naming import plain_name, text_and_label, text_column
from onetrunk.data.formats.table import Rows, Stream, Table, both_of, is_empty, show, string, wrong
from onetrunk.data.notes import Notes
from onetrunk.data.rows import LabelledText
from onetrunk.errors import UserError

_Joined = Mapping[str, list[str]]
_SEPARATORS = "#|;,\n"
_SECOND = (
    "text pair", "text2", "text 2", "text b", "sentence2", "sentence 2", "sentence b", "question2",
    "question 2", "hypothesis",
)  # fmt: skip
"""Names of columns with the second of two texts."""
_LABEL_NAMES = ("label text", "label name", "label names", "label str")
KEPT_WHOLE = "cells that may join several labels, kept whole"
"""The note on cells of which one file does not show whether they join labels."""


def labelled(
    stream: Stream, notes: Notes, numbers: bool = False, several: bool = False
) -> Rows[LabelledText]:
    """Read texts with a label, or with a list of labels; with ``numbers`` they may be floats.

    With ``several``, a text may have any number of labels: a string is split if it joins labels
    that also occur without each other, and an empty cell is a text without labels.
    """
    source, stream = stream, plain_columns(stream, notes)
    if several and len(stream.chosen.labels) > 1:
        return indicated(stream, notes)
    chosen = bool(stream.chosen.labels)
    columns = [name for name in ("label", "labels") if name in stream.names]
    if numbers and not columns and "ratings" in stream.names:  # of Label Studio
        tables = stream.read(("choices", "ratings"), ())
        columns = ["ratings"] if any(any(table.columns["ratings"]) for table in tables) else []
    columns = columns or [name for name in ("choices", "cats") if name in stream.names]
    if {"accept", "options"} <= set(stream.names):  # Prodigy's choices
        columns = ["accept"]
    if len(columns) > 1 and not chosen:
        raise both_of(stream, columns)
    if columns and not chosen:
        text, column = text_column(stream, notes) or "text", columns[0]
    else:
        text, column = text_and_label(stream, notes)
    check_named(stream, text, column)
    for name in dict.fromkeys(stream.names):
        if plain_name(name) in _SECOND and name not in (text, column) and not stream.chosen.text:
            what = "columns with a second text beside the one that is read, not read"
            notes.add(what, f"{stream.source}: {name!r}")
        if column == "label" and plain_name(name) in _LABEL_NAMES and not chosen:
            what = "columns that may hold the names of the labels, not read (--label-column)"
            notes.add(what, f"{stream.source}: {name!r}")
    joined: _Joined = {}
    if several:
        again = plain_columns(source, Notes()).tables(text, column)
        values = {*chain.from_iterable(_scalars(table.columns[column]) for table in again)}
        check_names(stream, column, values)
        joined = _joined({value for value in values if isinstance(value, str)})

    def row_of(table: Table, row: int) -> LabelledText:
        if several and is_empty(table.columns[column][row]):
            notes.add("empty cells, read as texts without labels", table.at(row))
            return LabelledText(string(table, text, row))
        labels = _labels(table, column, row, numbers, joined, notes)
        return LabelledText(string(table, text, row), labels)

    return stream.tables(text, column), row_of


def _scalars(cells: Sequence[Any]) -> Iterator[Any]:
    """The cells; for one that holds a list or an object, its type."""
    return (type(cell) if isinstance(cell, list | dict) else cell for cell in cells)


def _joined(strings: set[str]) -> _Joined:
    """Return the strings that join labels, with these labels; one that may be either, with itself.

    A separator may also end a string.
    """
    values = {value for value in strings if read_list(value) is None}
    joined: dict[str, list[str]] = {}
    for separator in _SEPARATORS:
        split = {value: _parts(value, separator) for value in values if separator in value}
        split |= {value: [value.strip()] for value in values - split.keys()}
        users = Counter(part for parts in split.values() for part in set(parts))
        joined |= {
            value: parts
            for value, parts in split.items()
            if len(parts) > 1 and "" not in parts and all(users[part] > 1 for part in parts)
        }
        for value, parts in split.items():
            if len(parts) > 1 and any(users[part] > 1 for part in parts):
                joined.setdefault(value, [value])
    return joined


def _parts(value: str, separator: str) -> list[str]:
    return [part.strip() for part in value.strip().removesuffix(separator).split(separator)]


def known_parts(label: str, known: Container[str]) -> list[str]:
    """Return the labels that a string joins, if all of them are known; otherwise the string."""
    for separator in _SEPARATORS if label not in known else "":
        parts = _parts(label, separator)
        if len(parts) > 1 and all(part in known for part in parts):
            return parts
    return [label]


def _labels(
    table: Table, name: str, row: int, numbers: bool, joined: _Joined, notes: Notes
) -> tuple[str, ...]:
    value, where = table.columns[name][row], table.at(row)
    match value:
        case str() if value in joined:
            if len(joined[value]) > 1:
                notes.add("cells that join several labels, split", where)
            else:
                notes.add(KEPT_WHOLE, where)
            value = joined[value]
        case str() if (listed := read_list(value)) is not None:
            value = listed
            notes.add("lists of labels written as text, read as lists", where)
        case str() if value[:1] + value[-1:] == "[]" and "," in value:
            why = "looks like a list, but is none; write it as JSON, with quotes around each label"
            raise UserError(f"{where}: {name!r} {why}: {show(value)}")
        case {"choices": list() as picked}:  # of Label Studio
            value = picked
        case dict() if name == "cats" and set(map(type, value.values())) <= {int, float, bool}:
            value = [label for label, score in value.items() if score >= 0.5]
    if name == "cats" and not isinstance(value, list):
        raise wrong(where, "'cats'", value, "an object of labels with numbers")
    is_list = isinstance(value, list)
    if name == "labels" and not is_list and not isinstance(value, str):
        raise wrong(where, "'labels'", value, "a list of strings")
    if is_list and not numbers and _are_indicators(value):
        why = "looks like a row of an indicator matrix; write the labels' names"
        raise UserError(f"{where}: {name!r} {why}: {show(value)}")
    labels: list[str] = []
    for number, item in enumerate(value if is_list else [value], 1):
        what = f"{name!r} item {number}" if is_list else repr(name)
        if type(item) is float and numbers:
            item = repr(item)  # with all its digits
        if isinstance(item, Decimal) and numbers:
            item = format(item, "f")
        if type(item) not in (str, int):  # not isinstance, which takes True for an integer
            wanted = f"a string or {'a number' if numbers else 'an integer'}"
            if type(item) is bool:
                wanted += "; write a name for it, such as 'yes' or 'no'"
            raise wrong(where, what, item, wanted)
        label = str(item).strip()
        if not label:
            raise UserError(f"{where}: {what} is an empty string")
        if label != str(item):
            notes.add("labels with white space around them, which is left out", where)
        if label in labels:
            hint = ""
            if all(type(item) is int and item in (0, 1) for item in value):
                hint = ": the list looks like a row of an indicator matrix; write the labels' names"
            raise UserError(f"{where}: {what} repeats {show(label)}{hint}")
        labels.append(label)
    if len(labels) == 2 and sorted(map(repr, value)) == ["0", "1"]:
        notes.add("lists of the numbers 0 and 1, read as two labels and not as indicators", where)
    return tuple(labels)


def _are_indicators(values: list[Any]) -> bool:
    """Whether these are true and false, or 0.0 and 1.0, as integers are labels."""
    kinds = {*map(type, values)}
    return bool(kinds) and kinds <= {bool, float} and all(value in (0, 1) for value in values)

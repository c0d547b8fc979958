"""From columns to rows of onetrunk: which columns are read, and what their cells may hold.

A reader takes a :class:`Stream` and returns its blocks, with a function that makes the row with an
index of a block into a :mod:`row of onetrunk <onetrunk.data.rows>`.
"""

import ast
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from onetrunk.data.formats.annotations import Counting, annotated_text
from onetrunk.data.formats.exports import plain_columns
from onetrunk.data.formats.spreadsheet import spans_of, token_rows, type_columns
from onetrunk.data.formats.table import Stream, Table, no_column, show, string, string_list, wrong
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, LabelledText, Pair
from onetrunk.data.schemes import Converter
from onetrunk.errors import UserError

_Row = TypeVar("_Row")
Rows = tuple[Iterator[Table], Callable[[Table, int], _Row]]
_Joined = Mapping[str, list[str]]
_SEPARATORS = "#|;,"


def annotated(
    stream: Stream, notes: Notes, converter: Converter, nested: bool = False
) -> Rows[AnnotatedText]:
    """Read text with spans, or words with tags, which the converter makes IOB2.

    With ``nested``, spans of different types may overlap.
    """
    if stream.by_hand:
        stream = token_rows(stream) or stream
    source, stream = stream, plain_columns(stream, notes)
    if _has_type_columns(stream):
        return _typed(stream, notes, nested)
    column = _span_column(stream)
    if column is None:
        return (
            stream.tables("tokens", "ner_tags"),
            lambda table, row: _tagged_words(table, row, converter, notes),
        )

    def texts() -> Iterator[tuple[str, Any, str]]:
        for table in plain_columns(source, Notes()).tables("text", column):  # notes count once
            for row, values in enumerate(table.columns[column]):
                yield string(table, "text", row), _parsed(values), table.at(row)

    counting = Counting(texts)

    def annotated(table: Table, row: int) -> AnnotatedText:
        text, where = string(table, "text", row), table.at(row)
        spans = _parsed(table.columns[column][row])
        if table.columns["relations"][row]:
            notes.add("rows with relations, which are not read", where)
        return annotated_text(text, spans, repr(column), where, notes, nested, counting)

    return stream.tables("text", column, optional=("relations",)), annotated


def _has_type_columns(stream: Stream) -> bool:
    """Whether a spreadsheet has a text, more columns, and none that usually holds spans."""
    usual = {"spans", "entities", "label", "labels", "ner_tags", "tokens"}
    names = set(stream.names)
    return stream.by_hand and "text" in names and len(names) > 1 and not usual & names


def _typed(stream: Stream, notes: Notes, nested: bool) -> Rows[AnnotatedText]:
    """Read texts with a column for each entity type."""
    types = type_columns(stream, notes)

    def annotated(table: Table, row: int) -> AnnotatedText:
        text, where = string(table, "text", row), table.at(row)
        spans = spans_of(text, {kind: table.columns[kind][row] for kind in types}, where)
        return annotated_text(text, [list(span) for span in spans], "spans", where, notes, nested)

    return stream.tables("text", *types), annotated


def _span_column(stream: Stream) -> str | None:
    """Return the column of spans, or None if the stream has words with tags."""
    names = stream.names
    spans = [name for name in ("spans", "entities") if name in names]
    tagged = "tokens" in names and "ner_tags" in names
    if "text" not in names or (tagged and not spans):
        return None
    spans = spans or [name for name in ("label", "labels") if name in names]
    choices = [*["ner_tags"] * tagged, *spans]
    if len(choices) > 1:
        raise _both(stream, choices)
    if not choices:
        raise no_column(f"{stream.source} has", "spans", names)
    return choices[0]


def _parsed(cell: Any) -> Any:
    """The list that a cell of CSV or Excel spells as JSON; anything else as it is."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            return json.loads(cell)
        except ValueError:
            return cell
    return cell


def _tagged_words(table: Table, row: int, converter: Converter, notes: Notes) -> AnnotatedText:
    words = string_list(table, "tokens", row)
    tags = string_list(table, "ner_tags", row)
    if not words:
        raise UserError(f"{table.at(row)}: the row has no tokens")
    if len(words) != len(tags):
        raise UserError(f"{table.at(row)}: {len(words)} tokens but {len(tags)} ner_tags")
    if "" in words:
        item = words.index("")
        raise UserError(f"{table.at(row, item)}: token {item + 1} is an empty string")
    converted = converter.convert(tags, partial(table.at, row))
    if converted != tags:
        changed = [item for item, tag in enumerate(tags) if tag != converted[item]]
        what = f"{str(converter.scheme).upper()} tags converted to IOB2"
        notes.add(what, table.at(row, changed[0]), len(changed))
    return AnnotatedText.from_words(words, converted)


def labelled(
    stream: Stream, notes: Notes, numbers: bool = False, several: bool = False
) -> Rows[LabelledText]:
    """Read texts with a label, or with a list of labels; with ``numbers`` they may be floats.

    With ``several``, a string is split if it joins labels that also occur without each other.
    """
    source, stream = stream, plain_columns(stream, notes)
    columns = [name for name in ("label", "labels") if name in stream.names]
    columns = columns or [name for name in ("choices", "cats") if name in stream.names]
    if {"accept", "options"} <= set(stream.names):  # Prodigy's choices
        columns = ["accept"]
    if len(columns) > 1:
        raise _both(stream, columns)
    column = columns[0] if columns else "label"
    joined: _Joined = {}
    if several:
        joined = _joined(plain_columns(source, Notes()).tables("text", column), column)

    def row_of(table: Table, row: int) -> LabelledText:
        labels = _labels(table, column, row, numbers, joined, notes)
        return LabelledText(string(table, "text", row), labels)

    return stream.tables("text", column), row_of


def _joined(tables: Iterator[Table], name: str) -> _Joined:
    """Return the strings that join labels, with these labels."""
    values = {value for table in tables for value in table.columns[name] if isinstance(value, str)}
    joined: dict[str, list[str]] = {}
    for separator in _SEPARATORS:
        split = {value: [part.strip() for part in value.split(separator)] for value in values}
        users = Counter(part for parts in split.values() for part in set(parts))
        joined |= {
            value: parts
            for value, parts in split.items()
            if len(parts) > 1 and "" not in parts and all(users[part] > 1 for part in parts)
        }
    return joined


def _listed(value: str) -> Any:
    """Return the list that a cell of a text file holds, or None."""
    try:
        return ast.literal_eval(value) if value[:1] + value[-1:] == "[]" else None
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _labels(
    table: Table, name: str, row: int, numbers: bool, joined: _Joined, notes: Notes
) -> tuple[str, ...]:
    value, where = table.columns[name][row], table.at(row)
    match value:
        case str() if value in joined:
            value = joined[value]
            notes.add("cells that join several labels, split", where)
        case str() if (listed := _listed(value)) is not None:
            value = listed
            notes.add("lists of labels written as text, read as lists", where)
        case dict() if name == "cats" and set(map(type, value.values())) <= {int, float, bool}:
            value = [label for label, score in value.items() if score >= 0.5]
    if name == "cats" and not isinstance(value, list):
        raise wrong(where, "'cats'", value, "an object of labels with numbers")
    is_list = isinstance(value, list)
    if name == "labels" and not is_list:
        raise wrong(where, "'labels'", value, "a list of strings")
    labels: list[str] = []
    for number, item in enumerate(value if is_list else [value], 1):
        what = f"{name!r} item {number}" if is_list else repr(name)
        if type(item) is float and numbers:
            item = repr(item)  # with all its digits
        if type(item) not in (str, int):  # not isinstance, which takes True for an integer
            raise wrong(where, what, item, f"a string or {'a number' if numbers else 'an integer'}")
        label = str(item)
        if not label.strip():
            raise UserError(f"{where}: {what} is an empty string")
        if label in labels:
            hint = ""
            if all(type(item) is int and item in (0, 1) for item in value):
                hint = ": the list looks like a row of an indicator matrix; write the labels' names"
            raise UserError(f"{where}: {what} repeats {show(label)}{hint}")
        labels.append(label)
    if len(labels) == 2 and sorted(map(repr, value)) == ["0", "1"]:
        notes.add("lists of the numbers 0 and 1, read as two labels and not as indicators", where)
    return tuple(labels)


def pairs(stream: Stream, notes: Notes) -> Rows[Pair]:
    """Read queries with a positive text, and negative ones where there are any."""

    def pair(table: Table, row: int) -> Pair:
        query, positive = string(table, "query", row), string(table, "positive", row)
        return Pair(query, positive, _negatives(table, row))

    return stream.tables("query", "positive", optional=("negative", "negatives")), pair


def _negatives(table: Table, row: int) -> tuple[str, ...]:
    negative, negatives = table.columns["negative"][row], table.columns["negatives"][row]
    if negative is not None and negatives is not None:
        raise UserError(f"{table.at(row)} has both 'negative' and 'negatives'; keep one of them")
    if isinstance(negative, str):
        return (negative,)
    if negative is None and negatives is None:
        return ()
    return tuple(string_list(table, "negative" if negatives is None else "negatives", row))


def texts(stream: Stream, notes: Notes) -> Rows[str]:
    """Read texts, or words joined by spaces."""
    stream = plain_columns(stream, notes, annotated=False)
    column, text = text_column(stream)
    return stream.tables(column), text


def text_column(stream: Stream) -> tuple[str, Callable[[Table, int], str]]:
    """Return the column that holds a stream's texts, and what makes a row of it a text."""
    if "tokens" in stream.names and "text" not in stream.names:
        return "tokens", lambda table, row: " ".join(string_list(table, "tokens", row))
    return "text", lambda table, row: string(table, "text", row)


def strings(stream: Stream, notes: Notes, names: Sequence[str]) -> Rows[tuple[str, ...]]:
    """Read columns of strings."""
    return (
        stream.tables(*names),
        lambda table, row: tuple(string(table, name, row) for name in names),
    )


def _both(stream: Stream, names: Sequence[str]) -> UserError:
    return UserError(f"{stream.source} has both {names[0]!r} and {names[1]!r}; keep one of them")

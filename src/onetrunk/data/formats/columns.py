"""From columns to rows of onetrunk: which columns are read, and what their cells may hold.

A reader takes a :class:`Stream` and returns its blocks, with a function that makes the row with an
index of a block into a :mod:`row of onetrunk <onetrunk.data.rows>`. Texts with labels have a module
of their own (:mod:`~onetrunk.data.formats.labelled`).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from onetrunk.data.formats.annotations import Counting, annotated_text
from onetrunk.data.formats.conll import LAYERS
from onetrunk.data.formats.docbin import SPAN_GROUPS
from onetrunk.data.formats.exports import plain_columns
from onetrunk.data.formats.lists import SPANS, with_lists
from onetrunk.data.formats.marks import one_by_one
from onetrunk.data.formats.naming import text_column
from onetrunk.data.formats.spreadsheet import entity_columns
from onetrunk.data.formats.table import (
    USUAL,
    Rows,
    Stream,
    Table,
    both_of,
    no_column,
    string,
    string_list,
)
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText
from onetrunk.data.schemes import Converter
from onetrunk.errors import UserError

DOCUMENT = ["-DOCSTART-"]
"""What stands between two documents in CoNLL-2003, and in tables that were made of it."""


def annotated(
    stream: Stream, notes: Notes, converter: Converter, nested: bool = False
) -> Rows[AnnotatedText]:
    """Read text with spans, or words with tags, which the converter makes IOB2.

    With ``nested``, spans of different types may overlap.
    """
    source = with_lists(stream)
    stream = entity_columns(plain_columns(source, notes), notes)
    column, name = _span_column(stream), stream.chosen.text or "text"
    if column is None:
        if nested:
            layered = partial(_layered_words, converters=[converter], notes=notes)
            return _sentences(stream, notes, LAYERS), layered
        return (
            _sentences(stream, notes),
            lambda table, row: _tagged_words(table, row, converter, notes),
        )

    def texts() -> Iterator[tuple[str, Any, str]]:
        again = entity_columns(plain_columns(source, Notes()), Notes())  # notes count once
        for table in again.tables(name, column):
            for row, values in enumerate(table.columns[column]):
                if not isinstance(values, UserError):
                    yield string(table, name, row), one_by_one(values), table.at(row)

    counting = Counting(texts)

    def annotated(table: Table, row: int) -> AnnotatedText:
        text, where = string(table, name, row), table.at(row)
        spans = one_by_one(table.columns[column][row])
        if isinstance(spans, UserError):
            raise spans
        if table.columns["relations"][row]:
            notes.add("rows with relations, which are not read", where)
        if groups := table.columns[SPAN_GROUPS][row]:
            if nested:
                spans = [*spans, *(span for span in groups if span not in spans)]
            else:
                what = "spans in groups, which the family nested-ner reads and ner does not"
                notes.add(what, where, len(groups))
        return annotated_text(text, spans, repr(column), where, notes, nested, counting)

    return stream.tables(name, column, optional=("relations", SPAN_GROUPS)), annotated


def _sentences(stream: Stream, notes: Notes, *optional: str) -> Iterator[Table]:
    """The words and tags of a stream, without the marks between documents."""
    for table in stream.tables("tokens", "ner_tags", optional=optional):
        marks = [row for row, words in enumerate(table.columns["tokens"]) if words == DOCUMENT]
        for row in marks:
            notes.add(f"rows with the word {DOCUMENT[0]} alone, left out", table.at(row))
        yield table.only([*{*range(len(table))} - {*marks}]) if marks else table


def _span_column(stream: Stream) -> str | None:
    """Return the column of spans, or None if the stream has words with tags."""
    names = stream.names
    if stream.chosen.labels:
        return stream.chosen.labels[0]
    spans = [name for name in SPANS[:2] if name in names]
    tagged = "tokens" in names and "ner_tags" in names
    if (stream.chosen.text or "text") not in names or (tagged and not spans):
        if not {"tokens", "ner_tags"} & {*names} and {*SPANS} & {*names}:
            raise no_column(f"{stream.source} has", "text", names, "--text-column")
        return None
    spans = spans or [name for name in SPANS[2:] if name in names]
    choices = [*["ner_tags"] * tagged, *spans]
    if len(choices) > 1:
        raise both_of(stream, choices)
    if not choices:
        raise no_column(f"{stream.source} has", "spans", names)
    return choices[0]


def _tagged_words(
    table: Table, row: int, converter: Converter, notes: Notes, tags: list[str] | None = None
) -> AnnotatedText:
    """Read words with ``tags``; None: with those of the column ``ner_tags``."""
    words = string_list(table, "tokens", row)
    tags = string_list(table, "ner_tags", row) if tags is None else tags
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


def _layered_words(
    table: Table, row: int, converters: list[Converter], notes: Notes
) -> AnnotatedText:
    """Read words with tags in several columns, each of which has a converter."""
    read = _tagged_words(table, row, converters[0], notes)
    entities = {*read.entities}
    for layer, tags in enumerate(table.columns[LAYERS][row] or (), 1):
        if layer == len(converters):
            converters.append(Converter())
        entities |= {*_tagged_words(table, row, converters[layer], notes, tags).entities}
    if len(entities) == len(read.entities):
        return read
    spans = [[start, end, kind] for start, end, kind in sorted(entities)]
    return annotated_text(read.text, spans, "'ner_tags'", table.at(row), notes, nested=True)


def texts(stream: Stream, notes: Notes) -> Rows[str]:
    """Read texts, or words joined by spaces."""
    stream = plain_columns(stream, notes, annotated=False)
    column, text = column_of_texts(stream, notes)
    return stream.tables(column), text


def column_of_texts(stream: Stream, notes: Notes) -> tuple[str, Callable[[Table, int], str]]:
    """Return the column that holds a stream's texts, and what makes a row of it a text."""
    if "tokens" in stream.names and "text" not in stream.names and not stream.chosen.text:
        return "tokens", lambda table, row: " ".join(string_list(table, "tokens", row))
    # Lines, and a list of texts, have no column to choose.
    name = "text" if list(stream.names) == ["text"] else text_column(stream, notes) or "text"
    return name, lambda table, row: string(table, name, row)


def strings(stream: Stream, notes: Notes, names: Sequence[str]) -> Rows[tuple[str, ...]]:
    """Read columns of strings."""
    refuse_choice(stream, names)
    return (
        stream.tables(*names),
        lambda table, row: tuple(string(table, name, row) for name in names),
    )


def refuse_choice(stream: Stream, names: Sequence[str]) -> None:
    """Raise UserError if columns were chosen for rows whose columns have set names."""
    if stream.chosen != USUAL:
        listed = " and ".join(map(repr, names))
        raise UserError(f"{stream.source}: the columns are {listed}; no others can be chosen")
